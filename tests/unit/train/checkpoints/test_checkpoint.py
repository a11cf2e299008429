import json
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from interbert.ranks.distributed import Ranks
from interbert.train.checkpoints import checkpoint, part_file
from interbert.train.checkpoints.checkpoint import CheckpointError
from interbert.train.engine.flat_optimizer import FlatOptimizer

PART = "part_0.safetensors"
ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "test")


def make_engine(seed=0):
    """What checkpoints need of DeepSpeed without ZeRO: the step's model and our optimizer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3))
    parameters = list(model.parameters())
    optimizer = FlatOptimizer(torch.optim.AdamW(parameters, lr=0.1, fused=True), parameters, clip=1e9)
    engine = SimpleNamespace(module=SimpleNamespace(model=model), optimizer=optimizer)
    train(engine)
    return engine


def train(engine):
    engine.module.model(torch.ones(2, 8)).square().sum().backward()
    engine.optimizer.gradients.take()
    engine.optimizer.step()


def save(folder, step, engine=None):
    return checkpoint.save(engine or make_engine(), folder, {"step": step, "epoch": 0}, ONE_RANK)


def test_saved_and_loaded_goes_on_alike(tmp_path):
    engine, other = make_engine(0), make_engine(1)
    path = save(tmp_path, 3, engine)
    checkpoint.load(other, path, checkpoint.verify(path))
    for each in (engine, other):
        train(each)
    for mine, theirs in zip(engine.module.model.parameters(), other.module.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = save(tmp_path, 1)
    other = make_engine()
    other.module.model.append(nn.Linear(3, 1))
    with pytest.raises(CheckpointError, match=r"lacks weight/2.weight.*another model"):
        checkpoint.load(other, path, checkpoint.verify(path))


def test_saved_and_found(tmp_path):
    save(tmp_path, 3)
    save(tmp_path, 20)
    path, state = checkpoint.find("latest", tmp_path, print)
    assert path == tmp_path / "step_20" and (state["step"], state["epoch"]) == (20, 0)
    assert checkpoint.find(str(tmp_path / "step_3"), tmp_path, print)[1]["step"] == 3
    assert checkpoint.find("none", tmp_path, print) is None


def test_failure_leaves_nothing_and_keeps_the_last(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part_file.os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)


def list_file(checkpoint, name):
    """Has the manifest name one more file."""
    manifest = checkpoint / "manifest.json"
    listed = json.loads(manifest.read_text())
    listed["files"][name] = {"bytes": 1, "sha256": "0"}
    manifest.write_text(json.dumps(listed))


DAMAGE = {
    "flipped bit": (lambda c: flip(c / PART), "safetensors: sha256"),
    "truncated": (
        lambda c: (c / PART).write_bytes(b"x" * 10),
        "safetensors: bytes is 10, expected",
    ),
    "missing": (lambda c: (c / PART).unlink(), "safetensors is missing"),
    "foreign file": (lambda c: (c / "more.pt").write_bytes(b"boo"), "more.pt is not in the manifest"),
    "no manifest": (lambda c: (c / "manifest.json").unlink(), "never finished"),
    "empty manifest": (lambda c: (c / "manifest.json").write_text(""), "manifest.json is damaged"),
    "path that leaves it": (lambda c: list_file(c, "../../elsewhere"), "elsewhere is missing"),
    "link": (
        lambda c: ((c / PART).rename(c.parent / "part"), (c / PART).symlink_to(c.parent / "part")),
        "is a link",
    ),
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


@pytest.mark.parametrize("name", ["manifest.json", "state.json", PART])
def test_whatever_bit_flips_it_is_noticed_or_changes_nothing(tmp_path, name):
    path = save(tmp_path, 1)
    whole, state = (path / name).read_bytes(), checkpoint.verify(path)
    noticed = 0
    for bit in range(0, 8 * len(whole), 1 if name == "manifest.json" else 7):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        (path / name).write_bytes(data)
        try:
            assert checkpoint.verify(path) == state
        except CheckpointError:
            noticed += 1
    assert noticed > 7 * len(whole) if name == "manifest.json" else noticed > len(whole)


@pytest.mark.parametrize("name", ["manifest.json", "state.json", PART])
def test_wherever_a_file_is_cut_it_is_noticed(tmp_path, name):
    path = save(tmp_path, 1)
    whole = (path / name).read_bytes()
    for length in range(0, len(whole.rstrip()), 5):
        (path / name).write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            checkpoint.verify(path)


def test_a_checkpoint_of_an_older_version_is_told_as_one(tmp_path):
    path = save(tmp_path, 1)
    state = path / "state.json"
    state.write_text(json.dumps({"step": 1}))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.json"] = checkpoint._describe(state)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="older version"):
        checkpoint.verify(path)


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    flip(save(tmp_path, 1) / PART)
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        checkpoint.find("latest", tmp_path, lambda text: None)


def test_a_disk_that_cannot_be_read_is_damage_too(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    whole = checkpoint.digest

    def broken(path):
        if "step_2" in str(path):
            raise OSError(5, "Input/output error")
        return whole(path)

    monkeypatch.setattr(checkpoint, "digest", broken)
    said = []
    assert checkpoint.find("latest", tmp_path, said.append)[0].name == "step_1"
    assert "step_2 cannot be read: [Errno 5]" in said[0]


def test_half_saved_folder_is_no_checkpoint(tmp_path):
    (tmp_path / ".step_5.partial" / "more").mkdir(parents=True)
    assert checkpoint.find("latest", tmp_path, print) is None
    save(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["step_5"]


def test_prune_keeps_the_latest_and_the_best(tmp_path):
    for step in (10, 20, 30, 100):
        save(tmp_path, step)
    checkpoint.prune(tmp_path, keep=2, best=10, resumed=None, warn=print)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step_10", "step_30", "step_100"]


def test_the_one_resumed_from_is_kept_until_a_newer_one_verifies(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    said = []
    good = (tmp_path / "step_30" / PART).read_bytes()
    flip(tmp_path / "step_30" / PART)
    checkpoint.prune(tmp_path, 2, None, 10, said.append)
    assert len(checkpoint.list_checkpoints(tmp_path)) == 3 and "is kept" in said[0] and "sha256" in said[0]
    (tmp_path / "step_30" / PART).write_bytes(good)
    checkpoint.prune(tmp_path, 2, None, 10, said.append)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step_20", "step_30"]


def test_what_a_killed_save_left_is_swept(tmp_path):
    save(tmp_path, 1)
    (tmp_path / ".step_5.partial" / "more").mkdir(parents=True)
    checkpoint.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step_1"]


def test_a_part_that_is_no_safetensors_file_is_named_and_never_run(tmp_path):
    path = save(tmp_path, 1)
    payload = pickle.dumps(Payload(tmp_path / "owned"))
    (path / PART).write_bytes(payload)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][PART] = checkpoint._describe(path / PART)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"part_0.safetensors: not a safetensors file"):
        checkpoint.load(make_engine(), path, checkpoint.verify(path))
    assert not (tmp_path / "owned").exists()


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_checkpoints_that_a_run_went_back_behind_are_set_aside(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    checkpoint.set_aside(tmp_path, after=10)
    assert checkpoint.find("latest", tmp_path, print)[0].name == "step_10"
    assert sorted(path.name for path in tmp_path.glob("left_*/step_*")) == ["step_20", "step_30"]
    (tmp_path / "left_1").rename(tmp_path / "left_7")
    checkpoint.set_aside(tmp_path, after=-1)
    assert checkpoint.find("latest", tmp_path, print) is None
    assert (tmp_path / "left_8" / "step_10").is_dir()


def test_files_of_another_user_are_refused(tmp_path, monkeypatch):
    path = save(tmp_path, 1)
    monkeypatch.setattr(checkpoint.os, "getuid", lambda: 12345)
    mine = path.parent.stat().st_uid
    checkpoint.verify(path)  # the folder's owner is trusted with what lies in it
    try:
        import os

        os.chown(path / PART, mine + 1, -1)
    except PermissionError:
        pytest.skip("only root can give files away")
    with pytest.raises(CheckpointError, match="belongs to another user"):
        checkpoint.verify(path)
