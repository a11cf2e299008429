"""`interbert runs` on folders as runs leave them."""

import json
import os
import shlex
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from interbert.__main__ import main
from interbert.recipe import load_recipe
from interbert.train.folder.run_folder import RunFolder


def leave(
    place: Path, *sets: str, state: str = "finished", losses: dict[int, float | None], **environment
) -> None:
    run = RunFolder(place)
    run.make()
    run.config.write_text(yaml.safe_dump(load_recipe("scenes", list(sets)).model_dump(mode="json")))
    run.write_status(state, max(losses), "as the test has it")
    lines = [{"step": step, "loss": loss, "samples_per_second": 10.0} for step, loss in losses.items()]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = {"launcher": "deepspeed", "ranks": 2, "hosts": 1} | environment
    told.setdefault("command", ["launch/pretrain.py", "--local_rank=0", "--recipe", "scenes", "--set", "a b"])
    run.environment.write_text(json.dumps(told))


@pytest.fixture
def two(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    leave(Path("runs/a"), losses={10: 3.0, 20: None, 30: 1.5})
    leave(Path("runs/b"), "train.learning_rate=0.5", state="running", losses={10: 2.0})
    return tmp_path


def test_each_run_has_a_line(two, capsys):
    long_ago = time.time() - 7300
    for name in ("status.json", "metrics.jsonl"):
        os.utime(two / "runs" / "b" / name, (long_ago, long_ago))
    figures = {"before": {"text_to_image": {"r1": 0.1}}, "after": {"text_to_image": {"r1": 0.614}}}
    (two / "runs" / "a" / "evaluation.json").write_text(json.dumps(figures))
    assert main(["runs"]) == 0
    title, a, b = capsys.readouterr().out.splitlines()
    assert title.split()[:4] == ["run", "state", "step", "loss"]
    assert a.split()[:4] == ["a", "finished", "30", "1.500"] and "R@1 61.4 %" in a
    assert b.split()[:4] == ["b", "silent", "10", "2.000"] and b.endswith("2 h ago")


def test_a_run_that_cannot_be_read_hides_no_other(two, capsys):
    (two / "runs" / "b" / "status.json").write_text("{")
    assert main(["runs"]) == 0
    _, a, b = capsys.readouterr().out.splitlines()
    assert a.split()[:2] == ["a", "finished"] and b.split()[:2] == ["b", "unreadable"]
    assert "status.json, line 1: not JSON" in b


def test_one_that_ended_before_it_began_is_shown(two, capsys):
    early = RunFolder(two / "runs" / "early")
    early.make()
    early.write_status("failed", 0, "the port is taken")
    assert main(["runs", "show", "early"]) == 0
    assert "failed at step 0 (the port is taken)" in capsys.readouterr().out
    assert main(["runs", "compare", "a", "early"]) == 2
    assert "early: ended before its settings were written; `interbert runs show" in capsys.readouterr().err


def test_two_runs_are_compared(two, capsys):
    assert main(["runs", "compare", "a", "runs/b", "--picture", "curves.png"]) == 0
    told = capsys.readouterr().out
    (rate,) = (line for line in told.splitlines() if line.startswith("train.learning_rate"))
    assert rate.split()[1:] == ["0.002", "0.5"]
    assert "train.seed" not in told and "samples_per_second" in told
    with Image.open("curves.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours
    assert main(["runs", "compare", "a", "b", "--picture", "curves.png"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_run_shows_how_it_was_started(two, capsys):
    assert main(["runs", "show", "a", "--command"]) == 0
    typed = shlex.split(capsys.readouterr().out)
    assert typed == [
        "deepspeed",
        "--num_gpus",
        "2",
        "launch/pretrain.py",
        "--recipe",
        "scenes",
        "--set",
        "a b",
    ]
    leave(two / "runs" / "d", losses={1: 1.0}, folder="/some where")
    assert main(["runs", "show", "d", "--command"]) == 0
    assert capsys.readouterr().out.startswith("cd '/some where' && deepspeed --num_gpus 2 launch/pretrain.py")
    (two / "runs" / "d" / "environment.json").unlink()
    assert main(["runs", "show", "d"]) == 0
    assert "finished at step 1" in capsys.readouterr().out
    assert main(["runs", "show", "d", "--command"]) == 2
    assert "no environment.json there" in capsys.readouterr().err
    leave(two / "c", losses={1: 1.0}, launcher="srun", ranks=16, hosts=2)
    assert main(["runs", "show", "c"]) == 0
    told = capsys.readouterr().out
    assert "finished at step 1" in told and "# on 2 hosts, 16 ranks in all" in told
    assert "srun --ntasks 16 python launch/pretrain.py" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "nowhere"], "nowhere: no such folder"),
        (["show", "x"], "x: no run is there, nor in runs/x"),
        (["list", "runs/a"], "runs/a: no run is there"),
    ],
)
def test_what_is_not_there(two, capsys, words, said):
    assert main(["runs", *words]) == 2
    assert said in capsys.readouterr().err
