"""Made pages are what their labels say, and the rules do to them what they are for."""

import json
from collections import Counter

import pytest
from made_crawl import collected

from interbert.curate.truth import held_against
from interbert.sources.scenes.pages.write import LABELS, write_pages


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    write_pages(folder / "made", 60, 4, "train", 0.6)
    return folder


@pytest.mark.slow
def test_the_same_options_give_the_same_bytes(made, tmp_path):
    write_pages(tmp_path / "again", 10, 4, "train", 0.6)
    write_pages(tmp_path / "more", 10, 4, "train", 0.6)
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / "more" / path.name).read_bytes()
    first = (tmp_path / "again" / LABELS).read_text()
    assert first and (made / "made" / LABELS).read_text().startswith(first)


@pytest.mark.slow
def test_kinds_are_told_apart(made):
    labels = [json.loads(line) for line in (made / "made" / LABELS).read_text().splitlines()]
    kinds = Counter(one["kind"] for one in labels if one["what"] == "text")
    assert set(kinds) == {
        "true", "true with junk", "random", "near miss", "generic", "page topic", "other language", "shared by many",
        "duplicate",
    }  # fmt: skip
    collected(made / "pairs", made / "made")
    truths = held_against(made / "pairs", made / "made" / LABELS)
    assert set(truths) == {"tuning", "judging"}
    for truth in truths.values():
        dropped = {one["kind"]: one["dropped"] for one in truth.kinds()}
        assert dropped["true"] < 0.25 and dropped["true with junk"] < 0.3
        assert dropped["generic"] > 0.95 and dropped["other language"] > 0.6
        precision = {one["rule"]: one["precision"] for one in truth.rules()}
        assert precision["generic"] > 0.95 and precision["file_name"] > 0.95 and precision["language"] > 0.9
        kept = {kind for kind, fate in truth.image_fates if fate == "kept"}
        assert kept <= {"photo", "duplicate"}
        assert truth.repaired[True] > 10 * truth.repaired[False]
