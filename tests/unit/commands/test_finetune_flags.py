"""What launch/finetune.py refuses before it opens anything."""

import importlib.util
from pathlib import Path

import pytest
from example_files import LINES, write_lines

SCRIPT = Path(__file__).parents[3] / "launch" / "finetune.py"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs the script with these words, in a folder that has a file of examples."""
    spec = importlib.util.spec_from_file_location("finetune", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    write_lines(tmp_path / "train.jsonl", LINES["classify"])
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> int:
        given = ["launch/finetune.py", "--deepspeed_config", "cpu", "--task", "classify", *words]
        monkeypatch.setattr("sys.argv", given)
        return script.finetune(script.parse_arguments())

    return ask


def test_a_setting_that_serves_nothing_is_refused_before_anything_is_opened(asked):
    with pytest.raises(ValueError, match=r"train.decay_at is \[2.0\], which serves the schedule steps"):
        asked(*JUDGED, "--set", "train.decay_at=[2]")


JUDGED = ("--examples", "train.jsonl", "--validation", "train.jsonl")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seed", "5", "--seeds", "1", "2"], "--seed says train.seed for all runs, and --seeds for each"),
        (["--seed", "0", "--seeds", "1", "2"], "--seed says train.seed for all runs"),
        (["--grid", "task.examples=train.jsonl,other.jsonl"], "--examples says task.examples for all runs"),
        (
            ["--model", ".", "--grid", "model.inherit_from=a,b"],
            "--model says model.inherit_from for all runs",
        ),
        (["--new-head", "--grid", "task.new_head=true,false"], "--new-head says task.new_head for all runs"),
    ],
)
def test_a_flag_does_not_make_all_runs_of_a_sweep_the_same(asked, words, told):
    with pytest.raises(ValueError, match=told):
        asked(*JUDGED, *words)
