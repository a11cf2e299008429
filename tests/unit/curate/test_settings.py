"""Settings: closed, and those that the page shows hold together."""

from pathlib import Path

import pytest

from interbert.curate.report.rules import RULES, not_judged
from interbert.curate.settings import CurateSettings, load_settings
from tests.unit.documents.text import ROOT, blocks

PAGE = ROOT / "docs" / "curation.md"


@pytest.mark.parametrize("number", [0, 1])
def test_those_of_the_page_are_taken(tmp_path, number):
    shown = blocks(PAGE.read_text(), "yml")
    assert len(shown) == 2
    (tmp_path / "c.yaml").write_text(shown[number])
    assert load_settings(tmp_path / "c.yaml") != CurateSettings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: {smaller_than: 3}", "images.smaller_than"), ("texts: [", "not readable as YAML"),
        ("images: {max_ratio: 0.5}", "images.max_ratio"), ("fit: {model: m}", "features or encoder"),
        ("sources: [alt, subtitle]", "sources.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path, text, said):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        load_settings(Path(tmp_path / "c.yaml"))


def test_each_rule_says_what_it_keeps():
    settings = CurateSettings()
    assert len({(rule.name, rule.of) for rule in RULES}) == len(RULES)
    assert all(rule.keeps(settings) for rule in RULES)
    assert "fit" in not_judged(settings) and "language" not in not_judged(settings)
    assert "language" in not_judged(CurateSettings.model_validate({"texts": {"languages": []}}))
