"""Averages of the weights, on a plain optimizer; what each ZeRO stage makes of them is shown on two ranks."""

from types import SimpleNamespace

import pytest
import torch
from apex_twin import TWINS
from torch import nn

from interbert.config import TrainSettings
from interbert.ranks.distributed import Ranks
from interbert.train.checkpoints import checkpoint
from interbert.train.engine import whole_state
from interbert.train.engine.averages import share_kept
from interbert.train.engine.flat_optimizer import FlatOptimizer
from interbert.train.engine.optimizer import build_optimizer, parameter_groups

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "test")


def made(seed: int = 0, kind: str = "adamw", ema: float | None = 0.5):
    """What is needed of an engine without ZeRO."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    settings = TrainSettings(learning_rate=0.1, optimizer=kind, ema=ema)
    inner = build_optimizer(parameter_groups(model, [], settings), settings, stage=0, offload=False)
    optimizer = FlatOptimizer(inner, list(model.parameters()), clip=1e9)
    engine = SimpleNamespace(module=SimpleNamespace(model=model), optimizer=optimizer)
    whole_state.begin(engine)
    return engine


def step(engine) -> None:
    engine.module.model(torch.ones(2, 4)).square().sum().backward()
    engine.optimizer.gradients.take()
    engine.optimizer.step()


def weights(engine) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in engine.module.model.named_parameters()}


def averages(engine) -> dict[str, torch.Tensor]:
    return {name: found["average"].clone() for name, found in whole_state.gather(engine, ("average",))}


def test_a_young_average_keeps_less():
    assert share_kept(0.9999, 1) == pytest.approx(2 / 11)
    assert share_kept(0.9999, 90) == pytest.approx(0.91)
    assert share_kept(0.9999, 10**6) == 0.9999


@pytest.mark.parametrize("kind", ["adamw", "lamb"])
@pytest.mark.parametrize("apex", [False, True])
def test_averages_follow_the_weights(monkeypatch, kind, apex):
    if apex:
        for place in ("optimizer", "optimizer_state"):
            monkeypatch.setattr(f"interbert.train.engine.{place}.apex_symbol", TWINS.get)
    with monkeypatch.context() as choosing:
        if apex:
            choosing.setattr(torch.cuda, "is_available", lambda: True)
        engine = made(kind=kind)
    expected = weights(engine)
    assert all(torch.equal(average, expected[name]) for name, average in averages(engine).items())
    for n in range(1, 12):
        step(engine)
        kept = min(0.5, (1 + n) / (10 + n))
        expected = {name: kept * expected[name] + (1 - kept) * w for name, w in weights(engine).items()}
    found = averages(engine)
    for name, average in expected.items():
        assert torch.allclose(found[name], average, atol=1e-6)
        assert not torch.allclose(found[name], weights(engine)[name], atol=1e-4)


def test_a_step_with_averages_moves_the_weights_as_one_without():
    one, other = made(ema=0.9), made(ema=None)
    for _ in range(3):
        step(one)
        step(other)
    assert all(torch.equal(w, weights(other)[name]) for name, w in weights(one).items())
    assert all(whole_state.AVERAGE not in state for state in other.optimizer.state.values())


def test_exchanged_twice_all_is_as_before():
    engine = made()
    for _ in range(3):
        step(engine)
    before = weights(engine), averages(engine)
    whole_state.exchange_averages(engine)
    assert all(torch.equal(w, before[1][name]) for name, w in weights(engine).items())
    whole_state.exchange_averages(engine)
    for was, now in zip(before, (weights(engine), averages(engine)), strict=True):
        assert all(torch.equal(was[name], now[name]) for name in was)


def test_averages_go_on_from_a_checkpoint(tmp_path):
    engine, other = made(0), made(1)
    for _ in range(4):
        step(engine)
    path = checkpoint.save(engine, tmp_path, {"step": 4}, ONE_RANK)
    checkpoint.load(other, path, checkpoint.verify(path))
    for each in (engine, other):
        step(each)
    for now in (weights, averages):
        assert all(torch.equal(value, now(other)[name]) for name, value in now(engine).items())


def test_a_checkpoint_counts_what_it_holds(tmp_path):
    """A frozen weight alone; moments of the others, and their averages."""
    engine, plain = made(), made(ema=None)
    numbers = sum(p.numel() for p in plain.module.model.parameters())
    assert checkpoint.size_of(engine) - checkpoint.size_of(plain) == 4 * numbers
    engine.module.model[0].requires_grad_(False)
    frozen = sum(p.numel() for p in engine.module.model[0].parameters())
    assert checkpoint.size_of(engine) == 4 * (4 * numbers - 3 * frozen) + 2**20
    held = dict(whole_state.gather(engine))
    assert list(held["0.weight"]) == ["weight"]
    assert list(held["1.bias"]) == ["weight", "exp_avg", "exp_avg_sq", "average"]
