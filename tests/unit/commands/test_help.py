"""What a person at a terminal asks first."""

import argparse
import runpy
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from interbert import __version__
from interbert.__main__ import build_parser, main
from interbert.commands import official
from interbert.commands.examples import EXAMPLES
from interbert.commands.launch import SCRIPTS
from interbert.config import MaskSettings
from interbert.ranks.handover import split_arguments


def parts_of(parser: argparse.ArgumentParser, called: str = "") -> set[str]:
    """Everything that has a --help of its own."""
    found = {called} - {""}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= parts_of(inner, f"{called} {name}".strip())
    return found


def test_all_have_examples():
    assert set(EXAMPLES) == parts_of(build_parser()) | {f"launch {script}" for script in SCRIPTS}
    assert {"runs show", "convert uniter", "import vqa2", "launch"} < set(EXAMPLES)


@pytest.mark.parametrize("called", EXAMPLES)
def test_help_ends_with_two_lines_to_type(called, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert len(set(EXAMPLES[called])) == 2
    verb, *rest = called.split()
    script = rest[0] if verb == "launch" and rest else None
    for line in EXAMPLES[called]:
        program, *words = shlex.split(line)
        assert (program, " ".join(words).startswith(f"{called} ".strip())) == ("interbert", True)
        words = official.joined(words)
        assert build_parser(words[0]).parse_args(words).run
        if script:
            of_script(script, split_arguments(words[2:])[1], monkeypatch).parse_arguments()
    with pytest.raises(SystemExit, match="0"):
        if script:
            of_script(script, ["--help"], monkeypatch).parse_arguments()
        else:
            main([*called.split(), "--help"])
    told = capsys.readouterr().out.rstrip().splitlines()
    assert told[-3:] == ["examples:", *(f"  {line}" for line in EXAMPLES[called])]


def of_script(name: str, words: list[str], monkeypatch) -> SimpleNamespace:
    place = Path(__file__).parents[3] / "launch" / f"{name}.py"
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", [str(place), *words])
    return SimpleNamespace(**runpy.run_path(str(place)))


def test_a_setting_is_explained(capsys):
    assert main(["settings", "masks.text"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "masks.text = msm_paper" and "15 %" in " ".join(told)
    assert any(line.startswith("mlm: imagebert_base") for line in told)
    assert told[-1] == "change it with --set masks.text=VALUE"
    assert main(["settings", "train.batch", "--recipe", "interbert_base"]) == 0
    assert capsys.readouterr().out.startswith("train.batch = 8192 pairs")


@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("masks.text", "one of msm_paper, msm_released, mlm"),
        ("TRAIN.ema", "a number more than 0 and less than 1, or nothing (null)"),
        ("data.weights", "a list [A, B, …], each a number more than 0"),
        ("data.verify_checksums", "true or false"),
        ("objectives", "a section {NAME: VALUE, …}"),
    ],
)
def test_what_a_setting_takes_is_said(capsys, key, takes):
    assert main(["settings", key]) == 0
    assert f"takes {takes}" in capsys.readouterr().out.splitlines()


def test_a_section_is_explained(capsys):
    assert main(["settings", "masks"]) == 0
    told = [line.partition(" = ")[0] for line in capsys.readouterr().out.splitlines() if line[0] != " "]
    assert told == [f"masks.{name}" for name in MaskSettings.model_fields]


def test_a_setting_that_is_none(capsys):
    assert main(["settings", "trian.batch"]) == 2
    assert "did you mean train.batch" in capsys.readouterr().err
    assert main(["settings", "heart"]) == 2
    assert "`interbert settings` lists them all" in capsys.readouterr().err


def test_without_a_verb_there_is_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main([])
    assert "verbs:" in capsys.readouterr().out


def test_which_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"interbert {__version__}\n"
