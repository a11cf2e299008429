"""The update of stage 0: what a step by DeepSpeed's or torch's own means comes to, without a wait for the device."""

import math
from types import SimpleNamespace

import pytest
import torch
from deepspeed.runtime.fp16.loss_scaler import LossScaleConfig, LossScaleProfile
from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer
from late_gpu import LateGpu
from launches import Launches
from torch import nn

from interbert.config import TrainSettings
from interbert.ranks.read_later import read_later
from interbert.train.engine.device_scale import DeviceScale
from interbert.train.engine.flat_gradients import FlatGradients
from interbert.train.engine.flat_optimizer import FlatOptimizer
from interbert.train.engine.optimizer import build_optimizer, parameter_groups
from interbert.train.engine.optimizer_state import AVERAGE, steps_of

SETTINGS = TrainSettings(learning_rate=0.1, weight_decay=0.5, head_rate=3.0, clip=0.7)


def model(dtype=torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Linear(5, 3), nn.Linear(3, 2)).to(dtype)


def flat(net: nn.Module, settings: TrainSettings = SETTINGS) -> FlatOptimizer:
    inner = build_optimizer(parameter_groups(net, [], settings, ("3",)), settings, stage=0, offload=False)
    return FlatOptimizer(inner, list(net.parameters()), settings.clip)


def leave_gradients(net: nn.Module, number: int, factor: float = 1.0) -> None:
    """As a backward pass does; of the norm's bias there are none in every third."""
    torch.manual_seed(number)
    for name, parameter in net.named_parameters():
        if not (number % 3 == 2 and name == "1.bias"):
            parameter.grad = torch.randn_like(parameter) * factor


def step(net: nn.Module, optimizer: FlatOptimizer, number: int, factor: float = 1.0) -> tuple[float, bool]:
    for micro_batch in range(2):
        leave_gradients(net, 2 * number + micro_batch, factor)
        optimizer.gradients.take()
    optimizer.step()
    return optimizer.told()


def test_in_fp32_it_is_torchs_clipping_and_adamw_to_the_bit():
    net, other = model(), model()
    optimizer = flat(net)
    plain = build_optimizer(parameter_groups(other, [], SETTINGS, ("3",)), SETTINGS, 0, offload=False)
    for number in range(4):
        norm, skipped = step(net, optimizer, number)
        summed = [torch.zeros_like(p) for p in other.parameters()]
        for micro_batch in range(2):
            other.zero_grad()
            leave_gradients(other, 2 * number + micro_batch)
            for total, parameter in zip(summed, other.parameters(), strict=True):
                if parameter.grad is not None:
                    total += parameter.grad
        for total, parameter in zip(summed, other.parameters(), strict=True):
            parameter.grad = total
        assert norm == float(nn.utils.clip_grad_norm_(other.parameters(), SETTINGS.clip)) > SETTINGS.clip
        plain.step()
        assert not skipped and all(parameter.grad is None for parameter in net.parameters())
        for one, its in zip(net.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, its)


def test_16_bit_weights_follow_masters_of_fp32():
    net, exact = model(torch.bfloat16), model()
    with torch.no_grad():
        for one, its in zip(net.parameters(), exact.parameters(), strict=True):
            its.copy_(one)
    optimizer, reference = flat(net), flat(exact)
    for number in range(3):
        step(net, optimizer, number)
        for micro_batch in range(2):
            leave_gradients(net, 2 * number + micro_batch)
            for one, its in zip(net.parameters(), exact.parameters(), strict=True):
                its.grad = None if one.grad is None else one.grad.float()
                one.grad = None
            reference.gradients.take()
        reference.step()
        for one, its in zip(net.parameters(), exact.parameters(), strict=True):
            assert torch.equal(optimizer.masters[one], its) and torch.equal(one, its.bfloat16())


def test_a_small_gradient_is_not_lost_beside_a_large_one():
    """As DeepSpeed loses it in 16 bits (tests/integration/accumulated.py): 64 and 63 times 0.125."""
    weight = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    gradients = FlatGradients([weight])
    for number in range(64):
        weight.grad = torch.full((3,), 0.125 if number else 64.0, dtype=torch.bfloat16)
        gradients.take()
    assert gradients.views[0].tolist() == [71.875] * 3


def test_who_has_no_gradient_has_none_of_the_step_before():
    net = model(torch.bfloat16)
    parameters = list(net.parameters())
    gradients = FlatGradients(parameters)
    for number in (1, 2):  # of the second micro-batch, which is the first of the next step
        leave_gradients(net, number)
        gradients.take()
        gradients.begin()
    assert gradients.views[3].eq(0).all() and all(view.ne(0).any() for view in gradients.views[4:])
    leave_gradients(net, 3)
    gradients.take()
    before = gradients.views[3].clone()
    leave_gradients(net, 5)
    gradients.take()
    assert torch.equal(gradients.views[3], before) and before.ne(0).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_with_bad_numbers_changes_nothing_and_the_next_one_goes_on(dtype, bad):
    settings = SETTINGS.model_copy(update={"ema": 0.9})
    (net, other), found = (model(dtype), model(dtype)), []
    runs = [(each, flat(each, settings)) for each in (net, other)]
    for each, optimizer in runs:
        for number in (0, 1, 2):
            if number != 1 or each is net:
                found.append(step(each, optimizer, number, bad if number == 1 else 1.0))
    assert [skipped for _, skipped in found] == [False, True, False, False, False]
    assert not math.isfinite(found[1][0]) and steps_of(runs[0][1].optimizer) == 2
    for one, its in zip(net.parameters(), other.parameters(), strict=True):
        states = [
            optimizer.optimizer.state[optimizer.masters[p]]
            for (_, optimizer), p in zip(runs, (one, its), strict=True)
        ]
        assert torch.equal(one, its) and AVERAGE in states[0]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_lamb_asks_the_device_first():
    net = model()
    optimizer = flat(net, SETTINGS.model_copy(update={"optimizer": "lamb"}))
    before = [parameter.clone() for parameter in net.parameters()]
    assert step(net, optimizer, 0, math.nan)[1]
    assert all(map(torch.equal, before, net.parameters()))
    assert not step(net, optimizer, 1)[1] and not torch.equal(before[0], next(net.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_waits_and_launches_do_not_grow_with_the_number_of_tensors(dtype):
    counted = []
    for layers in (20, 40):
        net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(layers))).to(dtype)
        optimizer = flat(net, SETTINGS.model_copy(update={"head_rate": 1.0, "ema": 0.9}))
        optimizer.mean_of_ranks = lambda tensor: None
        step(net, optimizer, 0)
        leave_gradients(net, 1)
        with Launches() as launches:
            optimizer.gradients.take()
            optimizer.step()
        assert not launches.waits
        counted.append(launches.launches)
    assert counted[1] <= 50 and counted[1] - counted[0] < 20


def test_the_ranks_mean_is_asked_for_in_the_parameters_type():
    net, asked = model(torch.bfloat16), []
    optimizer = flat(net)

    def half(tensor: torch.Tensor) -> None:
        asked.append((tensor.dtype, tensor.numel()))
        tensor.mul_(0.5)

    optimizer.mean_of_ranks = half
    alone = model(torch.bfloat16)
    whole = step(alone, flat(alone), 0)
    assert step(net, optimizer, 0)[0] == pytest.approx(whole[0] / 2, rel=0.01)
    assert asked == [(torch.bfloat16, optimizer.gradients.sum.numel())]


def test_the_loss_scale_moves_as_deepspeeds():
    section = {"enabled": True, "initial_scale_power": 4, "loss_scale_window": 3, "min_loss_scale": 2}
    ours = DeviceScale(section, torch.device("cpu"))
    wanted = {"init_scale": 16.0, "scale_window": 3, "min_scale": 2, "delayed_shift": 2}
    kept = LossScaleConfig(torch.float16, True, 1.0, wanted, profile=LossScaleProfile.UNFUSED)
    theirs = SimpleNamespace(loss_scale_config=kept, verbose=False)
    seen = set()
    for number in range(60):
        bad = number % 17 in (0, 1, 2, 3, 4, 9)
        ours.follow(torch.tensor(float(bad)))
        FP16_UnfusedOptimizer._update_scale(theirs, bad)
        history = {name: getattr(kept, name) for name in ("cur_scale", "cur_iter", "last_overflow_iter")}
        assert ours.history() == history
        seen.add(kept.cur_scale)
        again = DeviceScale(section, torch.device("cpu"))
        again.set_history(ours.history())
        assert again.history() == history
    assert len(seen) > 3 and min(seen) == 2


def test_a_fixed_loss_scale_stays():
    scale = DeviceScale({"enabled": True, "loss_scale": 8.0}, torch.device("cpu"))
    for bad in (0.0, 1.0, 1.0):
        scale.follow(torch.tensor(bad))
    assert scale.value.item() == 8 and scale.history()["cur_iter"] == 3


def test_scaled_gradients_move_the_weights_as_unscaled_ones():
    net, plain = model(), model()
    scaled, unscaled = flat(net), flat(plain)
    scaled.scale = DeviceScale({"enabled": True, "initial_scale_power": 6}, torch.device("cpu"))
    for number in range(2):
        assert step(net, scaled, number, 64.0)[0] == pytest.approx(step(plain, unscaled, number)[0])
    for one, its in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, its, atol=1e-6)
    assert step(net, scaled, 2, math.inf)[1] and scaled.scale.value.item() == 32


def test_the_host_waits_for_the_numbers_it_reads_and_for_nothing_asked_since(monkeypatch):
    gpu = LateGpu()
    gpu.install(monkeypatch)
    with gpu:
        numbers, done = torch.tensor([3.0, 1.0]).to("cuda", non_blocking=True), []
        read = read_later(numbers, torch.device("cuda"))
        gpu.work(lambda: done.append("asked since"))
        assert read() == [3.0, 1.0] and done == []
