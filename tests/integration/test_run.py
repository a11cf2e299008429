"""One run as its user sees it: files, resume, stop, bad input."""

import json
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from interbert.model.interbert import InterBertForPreTraining
from interbert.train.checkpoints.checkpoint import _describe
from interbert.train.monitor.tags import tag_of


def weights(runs, name):
    return InterBertForPreTraining.from_pretrained(runs.folder / name / "export").state_dict()


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def whole(runs) -> str:
    """Nine uninterrupted steps: more than an epoch of this small world."""
    runs.python("whole", "--max-steps", "9", "--profile", "2:3")
    return "whole"


def test_what_a_run_leaves(runs, whole):
    folder = runs.folder / whole
    for name in (
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "status.json",
        "picture.png",
        "export/config.json",
    ):
        assert (folder / name).is_file(), name
    assert runs.status(whole) == {
        "state": "finished",
        "step": 9,
        "reason": "reached step 9 of 100",
        "exit_code": 0,
        "again": "no",
        "hosts": "",
        "complete": False,
        "saved": 9,
    }
    assert list((folder / "profile").glob("trace_rank0.json"))
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["deepspeed"] and environment["ranks"] == 1
    assert environment["packages"]["interbert"] and Path(environment["folder"]).is_dir()


def test_metrics_are_complete(runs, whole):
    lines = runs.metrics(whole)
    trained = [line for line in lines if "loss" in line]
    assert [line["step"] for line in trained] == list(range(1, 10))
    expected = {
        *(
            "step",
            "epoch",
            "samples",
            "tokens",
            "loss",
            "loss/msm",
            "loss/mrm",
            "loss/itm",
            "lr",
            "grad_norm",
        ),
        *("msm/accuracy", "mrm/accuracy", "itm/accuracy", "samples_per_second", "tokens_per_second"),
        *("data_wait_share", "packing_efficiency", "memory_gb", "skipped_steps"),
    }
    assert expected <= trained[-1].keys()
    assert all(
        line["loss"] == pytest.approx(line["loss/msm"] + line["loss/mrm"] + line["loss/itm"])
        for line in trained
    )
    assert 0.5 < trained[0]["packing_efficiency"] <= 1
    validated = [line for line in lines if "validation/loss" in line]
    assert [line["step"] for line in validated] == [4, 8, 9]
    assert {"validation/loss/msm", "validation/loss/mrm", "validation/loss/itm"} <= validated[0].keys()
    events = EventAccumulator(str(runs.folder / whole / "tensorboard"))
    events.Reload()
    assert {tag_of(name) for name in expected - {"step"}} <= set(events.Tags()["scalars"])
    assert "validation/pair" in events.Tags()["images"]


def test_resumed_twice_within_an_epoch_equals_uninterrupted(runs, whole):
    for stop_at in ("2", "3", "9"):
        output = runs.python("pieces", "--max-steps", stop_at)
        assert ("resumed from" in output) == (stop_at != "2")
    assert runs.losses("pieces") == runs.losses(whole)
    assert same(weights(runs, "pieces"), weights(runs, whole))


@pytest.mark.slow
def test_resumed_on_other_ranks_and_stages_goes_on(runs, whole):
    """One rank without ZeRO, two with ZeRO-2, one with ZeRO-3: the same global batches, losses equal to rounding."""
    runs.python("moved", "--max-steps", "3", config="zero0_fp32")
    said = runs.run_ranks(runs.command("moved", "--max-steps", "6", config="zero2_fp32"))
    assert "resumed from" in said
    runs.python("moved", "--max-steps", "9", config="zero3_fp32")
    assert runs.losses("moved") == pytest.approx(runs.losses(whole), rel=1e-4)
    ours, theirs = weights(runs, "moved"), weights(runs, whole)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-4


def test_weights_that_give_another_loss_are_noticed(runs):
    runs.python("probed", "--max-steps", "1")
    state = runs.folder / "probed" / "checkpoints" / "step_1" / "state.json"
    said = json.loads(state.read_text())
    state.write_text(json.dumps(said | {"probe": said["probe"] + 1}))
    manifest = state.parent / "manifest.json"
    listed = json.loads(manifest.read_text())
    listed["files"]["state.json"] = _describe(state)
    manifest.write_text(json.dumps(listed))
    output = runs.python("probed", "--max-steps", "2", code=1)
    assert "the probe's loss is" in output and "Traceback" not in output


def test_finished_run_says_so_at_once(runs, whole):
    before = (runs.folder / whole / "metrics.jsonl").stat().st_mtime
    assert "finished, at step 9 (reached step 9 of 100)" in runs.python(whole, "--max-steps", "9")
    assert (runs.folder / whole / "metrics.jsonl").stat().st_mtime == before


def test_resuming_with_other_settings_is_refused(runs, whole):
    before = runs.status(whole)
    output = runs.python(whole, "--max-steps", "12", sets=("train.learning_rate=0.5",), code=1)
    assert "train.learning_rate: 0.002 then, 0.5 now" in output
    assert runs.status(whole) == before and (before["state"], before["step"]) == ("finished", 9)


def test_terminated_run_saves_and_goes_on(runs, whole):
    words = [
        sys.executable,
        *runs.command("stopped", "--max-steps", "2000", sets=("train.schedule_steps=2000",)),
    ]
    process = runs.start(words)
    for line in process.stdout:
        if line.startswith("step 3/"):
            process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            break
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert process.returncode == 75, output
    status = runs.status("stopped")
    assert status["state"] == "preempted" and "SIGTERM" in status["reason"] and 3 <= status["step"] < 2000
    assert (runs.folder / "stopped" / "checkpoints" / f"step_{status['step']}" / "manifest.json").is_file()


def test_dry_run_trains_nothing(runs):
    output = runs.python("dry", "--dry-run")
    assert "micro-batches = 1 ranks x 2 accumulated" in output and "epochs" in output
    assert "fp32, for a cpu\n" in output
    assert not (runs.folder / "dry").exists()


def efficiencies(said: str) -> list[int]:
    """Of each ZeRO stage, in per cent."""
    return [int(share) for share in re.findall(r"(\d+)%$", said, re.MULTILINE)]


def test_dry_run_imagines_a_cluster(runs):
    sets = ("train.micro_batches=1024",)
    said = runs.python("dry", "--dry-run", "--world-size", "1024", "--nodes", "128", sets=sets)
    assert "1024 ranks x 1 accumulated" in said and "1024 ranks on 128 nodes" in said and "efficiency" in said
    slow = ("--rank-tflops", "500", "--node-gbps", "0.01")
    slower = runs.python("dry", "--dry-run", "--world-size", "1024", "--nodes", "128", *slow, sets=sets)
    assert efficiencies(slower)[0] < efficiencies(said)[0] / 2
    said = runs.python("dry", "--dry-run", "--world-size", "1000", sets=sets, code=1)
    assert "1000 ranks cannot share equally" in said
    assert "give --dry-run too" in runs.python("dry", "--world-size", "4", code=1)


@pytest.mark.parametrize(
    ("more", "sets", "words"),
    [
        (("--data", "/nowhere.h5"), (), "no data at /nowhere.h5"),
        ((), ("train.speed=9",), "train.speed: no such setting"),
        (("--resume", "/nowhere"), (), "no checkpoint at /nowhere"),
        (("--profile", "5"), (), "--profile '5'"),
    ],
)
def test_bad_input_is_named(runs, more, sets, words):
    output = runs.python("bad", *more, "--max-steps", "1", sets=sets, code=1)
    assert words in output
    assert "Traceback" not in output


def test_validation_data_of_another_width_is_refused_at_once(runs, tmp_path):
    from interbert.sources.scenes.write import write_scenes

    write_scenes(tmp_path / "other.h5", 8, seed=1, feature_width=24)
    said = runs.python(
        "other_width", "--max-steps", "1", sets=(f"data.validation=[{tmp_path}/other.h5]",), code=1
    )
    assert "feature_width 24" in said and "32" in said and "Traceback" not in said


def test_the_first_step_can_be_profiled(runs):
    runs.python("profiled", "--max-steps", "2", "--profile", "1:1")
    trace = json.loads((runs.folder / "profiled" / "profile" / "trace_rank0.json").read_text())
    assert any("optimizer" in str(event.get("name", "")).lower() for event in trace["traceEvents"])
