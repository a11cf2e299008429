"""A save that is killed, with no chance to clean up: at each of its stages, and at any moment."""

import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from interbert import files
from interbert.ranks.distributed import Ranks
from interbert.train.checkpoints import checkpoint, part_file
from interbert.train.engine.flat_optimizer import FlatOptimizer

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "test")


def engine_of(value: float):
    """What checkpoints need of DeepSpeed without ZeRO; all weights have this value."""
    model = nn.Linear(256, 64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    parameters = list(model.parameters())
    optimizer = FlatOptimizer(torch.optim.AdamW(parameters), parameters, clip=1.0)
    return SimpleNamespace(module=SimpleNamespace(model=model), optimizer=optimizer)


def save(folder: Path, step: int) -> None:
    checkpoint.save(engine_of(step), folder, {"step": step}, ONE_RANK)


def in_a_child(work) -> int:
    """Forks, so that what is killed is a process and not its beginning; returns its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def check(folder: Path, latest: set[int]) -> int:
    """What is found is whole and holds its own step's weights; what was half saved is swept away."""
    path, state = checkpoint.find("latest", folder, pytest.fail)
    loaded = engine_of(-1)
    checkpoint.load(loaded, path, state)
    assert state["step"] in latest
    assert all(bool((p == state["step"]).all()) for p in loaded.module.model.parameters())
    checkpoint.sweep(folder)
    assert not list(folder.glob(".*.partial"))
    return state["step"]


def die(*arguments, **named) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


KILLED_IN = {
    "looking for room": (checkpoint, "check_space"),
    "beginning a part": (part_file, "_header"),
    "writing a part": (part_file.PartFile, "add"),
    "ending a part": (part_file.PartFile, "close"),
    "hashing the state": (checkpoint, "_describe"),
    "writing the state": (checkpoint, "write_json"),
    "renaming": (checkpoint, "settle_folder"),
    "forcing to disk": (files, "fsync"),
}


@pytest.mark.parametrize("moment", KILLED_IN)
def test_killed_at_each_stage(tmp_path, monkeypatch, moment):
    save(tmp_path, 1)
    owner, name = KILLED_IN[moment]

    def killed_save():
        monkeypatch.setattr(owner, name, die)
        save(tmp_path, 2)

    _, how = os.waitpid(in_a_child(killed_save), 0)
    assert os.WTERMSIG(how) == signal.SIGKILL
    check(tmp_path, {1})
    save(tmp_path, 2)
    check(tmp_path, {2})


def test_killed_at_any_moment(tmp_path):
    save(tmp_path, 1)
    drawn, seen, longest = random.Random(0), set(), 0.05
    for step in range(2, 32):
        child = in_a_child(lambda step=step: save(tmp_path, step))
        time.sleep(drawn.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        before = max(seen | {1})
        seen.add(found := check(tmp_path, {before, step}))
        # So that on every machine some are killed in time, and some too late.
        longest *= 0.7 if found == step else 1.4
    assert 1 < len(seen) < 30
