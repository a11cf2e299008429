import pytest
import torch
from apex_twin import TWINS, FusedAdam, FusedLAMB
from torch import nn

from interbert.config import TrainSettings
from interbert.train.engine import optimizer_state
from interbert.train.engine.lamb import Lamb
from interbert.train.engine.optimizer import build_optimizer, parameter_groups, schedule, set_learning_rate


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.words_too = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)


SETTINGS = TrainSettings(learning_rate=0.1, schedule_steps=100, warmup_share=0.1, weight_decay=0.5)


def test_decay_and_inherited_groups():
    model = Small()
    groups = parameter_groups(model, ["words", "norm"], SETTINGS)
    found = {}
    names = {id(p): n for n, p in model.named_parameters()}
    for group in groups:
        for parameter in group["params"]:
            found[names[id(parameter)]] = (group["weight_decay"], group["rate"])
    assert found == {
        "words.weight": (0.5, 0.1),
        "words_too.weight": (0.5, 1.0),  # a prefix ends at a dot
        "words_too.bias": (0.0, 1.0),
        "norm.weight": (0.0, 0.1),
        "norm.bias": (0.0, 0.1),
    }


def test_schedule_warms_up_and_decays_linearly():
    assert schedule(0, SETTINGS) == pytest.approx(0.1)
    assert schedule(9, SETTINGS) == pytest.approx(1.0)
    assert schedule(10, SETTINGS) == pytest.approx(1.0)
    assert schedule(55, SETTINGS) == pytest.approx(0.5)
    assert schedule(100, SETTINGS) == 0.0


def test_rate_of_inherited_parameters_follows_the_schedule():
    model = Small()
    optimizer = build_optimizer(
        parameter_groups(model, ["words"], SETTINGS), SETTINGS, stage=0, offload=False
    )
    assert set_learning_rate(optimizer, 55, SETTINGS) == pytest.approx(0.05)
    rates = {group["rate"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {1.0: pytest.approx(0.05), 0.1: pytest.approx(0.005)}


@pytest.mark.parametrize(
    ("kind", "stage", "offload", "chosen"),
    [
        ("adamw", 0, False, FusedAdam),
        ("adamw", 2, False, FusedAdam),
        (
            "adamw",
            3,
            False,
            torch.optim.AdamW,
        ),  # stage 3 steps piece by piece, and apex counts each as a step
        ("adamw", 2, True, torch.optim.AdamW),
        ("lamb", 0, False, FusedLAMB),
    ],
)
def test_apexs_optimizers_are_taken_where_they_are_right(monkeypatch, kind, stage, offload, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("interbert.train.engine.optimizer.apex_symbol", TWINS.get)
    settings = SETTINGS.model_copy(update={"optimizer": kind})
    built = build_optimizer(parameter_groups(Small(), [], settings), settings, stage, offload)
    assert type(built) is chosen
    if kind == "lamb":
        assert built.defaults["max_grad_norm"] > 1e20  # the engine clips


@pytest.mark.parametrize("kind", [torch.optim.AdamW, Lamb, FusedAdam, FusedLAMB])
def test_an_optimizer_goes_on_from_its_moments_and_its_count(monkeypatch, kind):
    """As a checkpoint takes them from one and gives them to another, which has not taken a step yet."""
    monkeypatch.setattr("interbert.train.engine.optimizer_state.apex_symbol", TWINS.get)
    common = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
    weights = [nn.Parameter(torch.full((3,), 0.5)) for _ in range(2)]
    first, second = (kind([weight], **common) for weight in weights)
    for number in range(5):
        if number == 3:
            assert optimizer_state.steps_of(first) == 3
            weights[1].data.copy_(weights[0])
            held, fresh = (
                optimizer_state.state_of(o, w) for o, w in zip((first, second), weights, strict=True)
            )
            assert {name: type(value) for name, value in held.items()} == {
                n: type(v) for n, v in fresh.items()
            }
            for key in optimizer_state.MOMENTS:
                fresh[key].copy_(held[key])
            optimizer_state.set_steps(second, 3)
        for optimizer, weight in ((first, weights[0]), (second, weights[1])):
            weight.grad = torch.tensor([0.3, -0.2, 0.1]) * (number + 1)
            if optimizer is first or number >= 3:
                optimizer.step()
    assert torch.equal(*weights)
    assert optimizer_state.steps_of(second) == 5
    optimizer_state.forget(second)
    assert optimizer_state.steps_of(second) == 0 and not second.state


def test_an_optimizer_of_another_kind_is_refused():
    other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(ValueError, match=r"not know how torch\.optim\.sgd\.SGD counts"):
        optimizer_state.steps_of(other)


def test_lamb_step_by_hand():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    optimizer = Lamb([weight], lr=0.1, betas=(0.9, 0.999), eps=0.0, weight_decay=0.0)
    weight.grad = torch.tensor([[2.0, -5.0]])
    optimizer.step()
    # The first Adam step is the sign of the gradient, of norm sqrt(2); the weight's norm is 5.
    trust = 5 / 2**0.5
    assert torch.allclose(weight, torch.tensor([[3.0 - 0.1 * trust, 4.0 + 0.1 * trust]]))


def test_lamb_trust_ratio_is_of_each_tensor():
    small, large = nn.Parameter(torch.full((2, 2), 0.01)), nn.Parameter(torch.full((2, 2), 10.0))
    optimizer = Lamb([small, large], lr=0.1, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)
    small.grad, large.grad = torch.ones(2, 2), torch.ones(2, 2)
    optimizer.step()
    assert torch.allclose(small, torch.full((2, 2), 0.009), atol=1e-6)
    assert torch.allclose(large, torch.full((2, 2), 9.0), atol=1e-3)


def test_lamb_learns():
    torch.manual_seed(0)
    layer, x, y = nn.Linear(4, 1), torch.randn(64, 4), torch.randn(64, 4) @ torch.ones(4, 1)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    optimizer = Lamb(layer.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


def test_lamb_moves_a_bias_that_starts_at_zero():
    bias = torch.nn.Parameter(torch.zeros(8))
    group = {"params": [bias], "weight_decay": 0.0, "adapt": False}
    optimizer = Lamb([group], lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
    for _ in range(1000):
        bias.grad = 2 * (bias.detach() - 1)
        optimizer.step()
    assert bias.min().item() > 0.5
