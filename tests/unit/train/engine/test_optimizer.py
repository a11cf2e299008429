import pytest
import torch
from apex_twin import TWINS, FusedAdam, FusedLAMB
from torch import nn
from tuned import opened

from interbert.config import SettingsError, TrainSettings
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.depth import depth_of
from interbert.tasks.pretraining.task import Pretraining
from interbert.train.engine import optimizer_state
from interbert.train.engine.frozen import freeze
from interbert.train.engine.lamb import Lamb
from interbert.train.engine.optimizer import (
    build_optimizer,
    parameter_groups,
    set_learning_rate,
)


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


def test_rate_of_inherited_parameters_follows_the_schedule():
    model = Small()
    optimizer = build_optimizer(
        parameter_groups(model, ["words"], SETTINGS), SETTINGS, stage=0, offload=False
    )
    assert set_learning_rate(optimizer, 55, SETTINGS) == pytest.approx(0.05)
    rates = {group["rate"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {1.0: pytest.approx(0.05), 0.1: pytest.approx(0.005)}


def of_base(architecture: str) -> InterBertForPreTraining:
    return InterBertForPreTraining.empty(InterBertConfig.from_preset("base", architecture))


def rates(model: nn.Module, settings: TrainSettings, head=("task",)) -> dict[str, float]:
    names = {id(p): n for n, p in model.named_parameters()}
    groups = parameter_groups(model, ["interbert.text_embeddings"], settings, head)
    return {names[id(p)]: group["rate"] for group in groups for p in group["params"]}


def test_a_heads_rate_and_the_layers_rates_are_factors_of_their_groups():
    settings = SETTINGS.model_copy(update={"head_rate": 10.0, "layer_decay": 0.5, "inherited_rate": 0.25})
    found = rates(of_base("interbert"), settings, ("task", "heads.match"))
    assert found["heads.match.classifier.weight"] == 10
    assert found["heads.regions.decoder.weight"] == found["interbert.text_pooler.dense.weight"] == 1
    assert found["interbert.stages.2.5.up.bias"] == 0.5  # the last layer of the image stream
    assert found["interbert.stages.1.0.up.bias"] == 0.5**6
    assert found["interbert.stages.0.5.qkv.weight"] == 0.5**7  # the last joint one, below six of each
    assert found["interbert.image_embeddings.norm.weight"] == 0.5**13
    assert found["interbert.text_embeddings.words.weight"] == 0.25 * 0.5**13  # and from BERT


def test_layers_of_streams_that_meet_are_counted_from_the_top():
    model = of_base("vilbert")  # six text layers, then six times: cross, text, image
    depths = {name: depth_of(name, model.config.encoder_stages) for name, _ in model.named_parameters()}
    assert depths["interbert.stages.18.0.norm.weight"] == depths["interbert.stages.17.0.norm.weight"] == 1
    assert depths["interbert.stages.16.0.image.qkv.weight"] == 2  # of both streams
    assert depths["interbert.stages.1.0.text.qkv.weight"] == 12
    assert (depths["interbert.stages.0.5.qkv.weight"], depths["interbert.stages.0.0.qkv.weight"]) == (13, 18)
    embeddings = "interbert.text_embeddings.norm.bias", "interbert.image_embeddings.norm.bias"
    assert [depths[name] for name in embeddings] == [19, 13]
    assert depths["heads.tokens.decoder.bias"] == 0


def test_a_task_says_which_head_has_the_heads_rate(tmp_path):
    heads = {kind: opened(tmp_path / kind, kind).head_parameters for kind in ("match", "score")}
    assert heads == {"match": ("heads.match",), "score": ("task",)}
    assert Pretraining.head_parameters == ()


def test_what_is_frozen_is_in_no_group():
    model = of_base("interbert")
    freeze(model, SETTINGS.model_copy(update={"frozen": ["interbert.stages.0", "interbert.text_embeddings"]}))
    found = rates(model, SETTINGS)
    assert "interbert.stages.1.0.up.bias" in found and "interbert.image_embeddings.norm.bias" in found
    assert not [n for n in found if n.startswith(("interbert.stages.0.", "interbert.text_embeddings."))]


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        ("interbert.stage", r"no parameter 'interbert.stage'; write 'interbert.stages', or one of interbert"),
        ("bert", r"no parameter 'bert'; write 'interbert', or one of interbert, heads$"),
        (
            "interbert.stages.9",
            r"write .interbert.stages.2., or one of interbert.text_embeddings.words,.*heads.match.classifier",
        ),
    ],
)
def test_an_unknown_part_cannot_be_frozen(frozen, said):
    with pytest.raises(SettingsError, match=said):
        freeze(of_base("interbert"), SETTINGS.model_copy(update={"frozen": [frozen]}))


def test_something_must_learn():
    with pytest.raises(SettingsError, match="leaves nothing that learns"):
        freeze(Small(), SETTINGS.model_copy(update={"frozen": ["words", "words_too", "norm"]}))


@pytest.mark.parametrize(
    ("kind", "stage", "offload", "chosen"),
    [
        ("adamw", 0, False, torch.optim.AdamW),  # which leaves out a step on the device's own word
        ("adamw", 1, False, FusedAdam),
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
