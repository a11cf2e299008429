"""What a person at a terminal asks first."""

import shlex

import pytest

from interbert.__main__ import VERBS, build_parser, main
from interbert.commands import official
from interbert.commands.examples import EXAMPLES


def test_help_of_each_verb_ends_with_two_lines_to_type(capsys):
    assert set(EXAMPLES) == {*VERBS, *(f"import {task}" for task in official.TASKS)}
    for verb, lines in EXAMPLES.items():
        assert len(lines) == 2
        for line in lines:
            program, *words = shlex.split(line)
            words = official.joined(words)
            assert program == "interbert" and words[0] == verb
            assert build_parser(verb).parse_args(words).run
        with pytest.raises(SystemExit, match="0"):
            main([*verb.split(), "--help"])
        assert capsys.readouterr().out.rstrip().endswith(lines[1])


def test_a_setting_is_explained(capsys):
    assert main(["settings", "masks.text"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "masks.text = msm_paper" and "15 %" in " ".join(told)
    assert any(line.startswith("mlm: imagebert_base") for line in told)
    assert told[-1] == "change it with --set masks.text=VALUE"
    assert main(["settings", "train.batch", "--recipe", "interbert_base"]) == 0
    assert capsys.readouterr().out.startswith("train.batch = 8192 pairs")


def test_a_setting_that_is_none(capsys):
    assert main(["settings", "trian.batch"]) == 2
    assert "did you mean train.batch" in capsys.readouterr().err
