import json
from pathlib import Path

import pytest
import torch

from interbert.train import checkpoint
from interbert.train.checkpoint import CheckpointError
from interbert.train.distributed import Ranks

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "test")


class Engine:
    """What checkpoint.save needs of DeepSpeed: something that writes files into a folder."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

        self.checkpoint_engine = self

    def save(self, weights, path):
        path.write_bytes(weights)
        if self.fails:
            raise OSError(28, "No space left on device")

    def save_checkpoint(self, folder, tag, save_latest):
        (Path(folder) / tag).mkdir()
        self.checkpoint_engine.save(b"x" * 1000, Path(folder) / tag / "weights.pt")


def save(folder, step, **engine):
    return checkpoint.save(Engine(**engine), folder, {"step": step, "epoch": 0}, ONE_RANK)


def test_saved_and_found(tmp_path):
    save(tmp_path, 3)
    save(tmp_path, 20)
    path, state = checkpoint.find("latest", tmp_path, print)
    assert path == tmp_path / "step_20" and state == {"step": 20, "epoch": 0}
    assert checkpoint.find(str(tmp_path / "step_3"), tmp_path, print)[1]["step"] == 3
    assert checkpoint.find("none", tmp_path, print) is None


def test_failure_leaves_nothing_and_keeps_the_last(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(CheckpointError, match="No space left"):
        save(tmp_path, 2, fails=True)
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped bit": (lambda c: flip(c / "engine/weights.pt"), "weights.pt: sha256"),
    "truncated": (
        lambda c: (c / "engine/weights.pt").write_bytes(b"x" * 10),
        "weights.pt: bytes is 10, expected 1000",
    ),
    "missing": (lambda c: (c / "engine/weights.pt").unlink(), "weights.pt is missing"),
    "foreign file": (lambda c: (c / "engine/more.pt").write_bytes(b"boo"), "more.pt is not in the manifest"),
    "no manifest": (lambda c: (c / "manifest.json").unlink(), "never finished"),
    "empty manifest": (lambda c: (c / "manifest.json").write_text(""), "manifest.json is damaged"),
    "changed state": (lambda c: (c / "state.json").write_text(json.dumps({"step": 9})), "state.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_an_older_one_is_taken(tmp_path, damage):
    save(tmp_path, 1)
    broken = save(tmp_path, 2)
    inflict, words = DAMAGE[damage]
    inflict(broken)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.verify(broken)
    said = []
    path, state = checkpoint.find("latest", tmp_path, said.append)
    assert path.name == "step_1" and state["step"] == 1
    assert len(said) == 1 and "step_2" in said[0]


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    flip(save(tmp_path, 1) / "engine/weights.pt")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        checkpoint.find("latest", tmp_path, lambda text: None)


def test_half_saved_folder_is_no_checkpoint(tmp_path):
    (tmp_path / ".step_5.partial" / "engine").mkdir(parents=True)
    assert checkpoint.find("latest", tmp_path, print) is None
    save(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["step_5"]


def test_prune_keeps_the_latest_and_the_best(tmp_path):
    for step in (10, 20, 30, 100):
        save(tmp_path, step)
    checkpoint.prune(tmp_path, keep=2, best=10)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step_10", "step_30", "step_100"]


def test_checkpoints_that_a_run_went_back_behind_are_set_aside(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    checkpoint.set_aside(tmp_path, after=10)
    assert checkpoint.find("latest", tmp_path, print)[0].name == "step_10"
    assert sorted(path.name for path in tmp_path.glob("left_*/step_*")) == ["step_20", "step_30"]
    checkpoint.set_aside(tmp_path, after=-1)
    assert checkpoint.find("latest", tmp_path, print) is None
