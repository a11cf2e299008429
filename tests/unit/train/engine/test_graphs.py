"""The encoder's layers at fixed shapes, and replayed from CUDA graphs where there is a GPU."""

import dataclasses
import inspect
from types import SimpleNamespace

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert import objectives
from interbert.batches.capacities import Capacities
from interbert.config import Settings, SettingsError, TrainSettings
from interbert.model import InterBertForPreTraining
from interbert.model.shape.heads_needed import needs
from interbert.train.engine import graphs
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.fixed_stage import FixedStage, own_gradients
from interbert.train.engine.graphs import capture_layers, launch_bound, stage_capacities, why_not

NAMES = ["msm", "mrm", "itm"]
CAPACITIES = Capacities(tokens=70, text=40, regions=30, pairs=6, masked_tokens=20, masked_regions=20)
SETTINGS = Settings(name="small", data={"max_text_tokens": 12, "max_regions": 10})
ASKED = SETTINGS.model_copy(update={"train": TrainSettings(cuda_graphs=True)})
ENGINE = EngineConfig("config.json", {}, stage=1, precision="bf16", offload=False, accumulation=1)
BATCHES = [([5, 9, 3], [4, 1, 7]), ([12, 2, 6, 4], [3, 10, 2, 5]), ([3], [1])]


def loss_and_gradients(model, batch, clear=True):
    if clear:
        model.zero_grad()
    torch.manual_seed(0)  # the embeddings have dropout too
    found = objectives.losses(NAMES, model.forward_packed(batch, needs(NAMES)), batch)
    loss = sum(part.sum / part.count for part in found.values())
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def without_dropout():
    """In fp64, where the order of sums does not show."""
    model = InterBertForPreTraining.from_seed(tiny_config(), 0).double().train()
    for module in model.modules():
        if hasattr(module, "hidden_dropout"):
            module.hidden_dropout = module.attention_dropout = 0.0
    return model


def test_fixed_shapes_change_nothing():
    model = without_dropout()
    names = model.state_dict().keys()
    expected = [loss_and_gradients(model, make_batch(*lengths)) for lengths in BATCHES]
    shapes = []
    for number, capacity in stage_capacities(model, SETTINGS, CAPACITIES).items():
        fixed = FixedStage(model.interbert.stages[number], capacity)
        fixed.register_forward_pre_hook(lambda module, given: shapes.append([tuple(x.shape) for x in given]))
        fixed.take_over()
    assert model.state_dict().keys() == names
    for lengths, (loss, gradients) in zip(BATCHES, expected, strict=True):
        found, others = loss_and_gradients(model, make_batch(*lengths))
        torch.testing.assert_close(found, loss)
        assert others.keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-7, atol=1e-9, msg=name)
    assert shapes[:3] == shapes[3:6] == shapes[6:] and len(shapes) == 9


class Replay(torch.autograd.Function):
    """As a graph works: it reads and leaves its numbers where it did the time before."""

    @staticmethod
    def forward(ctx, fixed, x_NH, cu, order):
        ctx.given = fixed, cu, order
        fixed.came.copy_(x_NH)
        fixed.left.copy_(FixedStage.forward(fixed, fixed.came, cu, order))
        return fixed.left.detach()

    @staticmethod
    def backward(ctx, grad_NH):
        fixed, cu, order = ctx.given
        with torch.enable_grad():
            x_NH = fixed.came.detach().clone().requires_grad_()
            torch.autograd.backward(FixedStage.forward(fixed, x_NH, cu, order), grad_NH)
        return None, x_NH.grad, None, None


class ReplayedInPlace(FixedStage):
    def __init__(self, stage, capacity) -> None:
        super().__init__(stage, capacity)
        self.came, self.left = torch.zeros(2, capacity.rows, tiny_config().hidden_size).double().unbind()
        self.replays = 0

    def forward(self, x_NH, cu, order):
        self.replays += 1
        return Replay.apply(self, x_NH, cu, order)


def test_a_model_that_runs_twice_before_its_backward_pass_keeps_both():
    model = without_dropout()
    batches = [make_batch(*lengths) for lengths in BATCHES[:2]]

    def both():
        model.zero_grad()
        torch.manual_seed(0)
        with torch.no_grad():
            model.forward_packed(batches[0], needs(NAMES))
        found = [objectives.losses(NAMES, model.forward_packed(one, needs(NAMES)), one) for one in batches]
        sum(part.sum for losses in found for part in losses.values()).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected, replayed = both(), []
    for number, capacity in stage_capacities(model, SETTINGS, CAPACITIES).items():
        replayed.append(ReplayedInPlace(model.interbert.stages[number], capacity))
        replayed[-1].take_over()
    for _ in range(2):  # the second time the first one's backward pass lies behind
        found = both()
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-7, atol=1e-9, msg=name)
    assert [fixed.replays for fixed in replayed] == [2, 2, 2]


def test_evaluation_and_maps_of_attention_keep_their_own_shapes():
    model = InterBertForPreTraining.from_seed(tiny_config(), 0)
    fixed = FixedStage(model.interbert.stages[0], stage_capacities(model, SETTINGS, CAPACITIES)[0])
    fixed.register_forward_pre_hook(lambda *_: pytest.fail("not replayed"))
    fixed.take_over()
    batch = make_batch(*BATCHES[0])
    model.eval().forward_packed(batch, {"match"})
    model.train()
    assert len(model.forward_packed(batch, {"match"}, output_attentions=True).attentions["joint"]) == 2


def test_more_than_the_capacity_is_launched_one_by_one_and_said_once(caplog):
    model = without_dropout()
    expected, _ = loss_and_gradients(model, make_batch(*BATCHES[0]))
    capacity = dataclasses.replace(stage_capacities(model, SETTINGS, CAPACITIES)[0], rows=1)
    fixed = FixedStage(model.interbert.stages[0], capacity)
    fixed.register_forward_pre_hook(lambda *_: pytest.fail("it does not fit"))
    fixed.take_over()
    for _ in range(2):
        found, _ = loss_and_gradients(model, make_batch(*BATCHES[0]))
        assert torch.equal(found, expected)
    (said,) = caplog.messages
    assert "rows of 3 pairs came to a stage that CUDA graphs hold at 1 rows of 6 pairs" in said
    assert "raise data.text_capacity" in said


def on_gpu(model):
    """As far as its first parameter says."""
    first = SimpleNamespace(device=torch.device("cuda"), dtype=torch.bfloat16)
    return SimpleNamespace(parameters=lambda: iter([first]), interbert=model.interbert, config=model.config)


def test_what_cannot_be_captured_is_refused(monkeypatch):
    model = InterBertForPreTraining.from_seed(tiny_config(), 0)
    crossed = InterBertForPreTraining.from_seed(
        tiny_config(stages=[{"kind": "cross", "layers": 1, "heads": 2, "intermediate_size": 32}]), 0
    )
    monkeypatch.setattr(graphs, "fused_unusable", lambda qkv, longest: None)
    monkeypatch.setattr(graphs.torch, "empty", lambda *_, **__: torch.zeros(1))

    def said(model, config=ENGINE, **train) -> str | None:
        settings = SETTINGS.model_copy(update={"train": TrainSettings(**train)})
        return why_not(model, settings, config, CAPACITIES)

    assert said(on_gpu(model)) is None
    assert said(model) == "training runs on a CPU"
    assert "config.json has ZeRO stage 3" in said(on_gpu(model), dataclasses.replace(ENGINE, stage=3))
    assert said(on_gpu(crossed)) == "it is not made for co-attention"
    assert "train.recompute" in said(on_gpu(model), recompute=True)
    assert "adapters" in said(on_gpu(model), lora={})
    monkeypatch.setattr(graphs, "fused_unusable", lambda qkv, longest: "no nvcc")
    assert said(on_gpu(model)) == "it needs fused attention: no nvcc"
    with pytest.raises(
        SettingsError, match=r"is on, and training runs on a CPU; set train\.cuda_graphs=false"
    ):
        capture_layers(model, ASKED, ENGINE, CAPACITIES)


def test_a_gpu_waits_for_its_host_where_layers_have_little_work():
    assert launch_bound(4_000, 768) and not launch_bound(8_192, 768)
    assert launch_bound(32_768, 256) and not launch_bound(5_000, 1024)


class Replayed(torch.autograd.Function):
    """As a graph does it: each backward pass leaves its gradient in the same place."""

    place = torch.zeros(1, 3)

    @staticmethod
    def forward(ctx, weight, x):
        ctx.x = x
        return (weight * x).sum()

    @staticmethod
    def backward(ctx, grad):
        return Replayed.place.copy_(grad * ctx.x).detach(), None


@pytest.mark.parametrize("owned", [False, True])
def test_gradients_of_micro_batches_add_up(owned):
    layer = torch.nn.Linear(3, 1, bias=False)
    if owned:
        own_gradients(layer)
    for number in (1.0, 10.0):
        Replayed.apply(layer.weight, torch.full((1, 3), number)).backward()
    assert (layer.weight.grad.flatten().tolist() == [11.0] * 3) == owned


def test_what_is_frozen_has_no_gradients_to_own():
    layer = torch.nn.Linear(3, 1)
    layer.bias.requires_grad_(False)
    own_gradients(layer)
    layer(torch.ones(1, 3)).backward()
    assert layer.bias.grad is None and layer.weight.grad.tolist() == [[1.0] * 3]


@pytest.fixture
def captured(monkeypatch) -> list:
    """What was captured. All of the way to a graph but the graph: capture runs the layers at their capacity."""
    found = []

    def make_graphed_callables(callables, sample_args, **named):
        out = callables(*sample_args)
        torch.autograd.grad(
            out.sum(), [p for p in callables.parameters() if p.requires_grad], allow_unused=True
        )
        found.append((tuple(out.shape), callables.capacity))
        return callables

    real = inspect.signature(torch.cuda.make_graphed_callables).parameters
    assert list(real)[:2] == ["callables", "sample_args"]
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make_graphed_callables)
    monkeypatch.setattr(graphs, "why_not", lambda *_: None)
    return found


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("asked", [True, "auto"])
def test_capture_and_replay_on_a_stand_in(captured, asked, stage):
    model = without_dropout()
    expected = [loss_and_gradients(model, make_batch(*lengths)) for lengths in BATCHES]
    settings = SETTINGS.model_copy(update={"train": TrainSettings(cuda_graphs=asked)})
    capture_layers(model, settings, dataclasses.replace(ENGINE, stage=stage), CAPACITIES)
    assert [(rows, capacity.longest) for (rows, _), capacity in captured] == [(70, 23), (40, 12), (36, 11)]
    for lengths, (loss, gradients) in zip(BATCHES, expected, strict=True):
        found, others = loss_and_gradients(model, make_batch(*lengths))
        torch.testing.assert_close(found, loss)
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-7, atol=1e-9, msg=name)
    hooks = [len(parameter._backward_hooks or ()) for parameter in model.interbert.stages.parameters()]
    assert set(hooks) == {min(stage, 1)}


@pytest.mark.parametrize(("asked", "tokens"), [(False, 70), ("auto", 9 * 10**6)])
def test_what_is_not_asked_for_or_not_worth_it_is_not_captured(captured, asked, tokens):
    model = without_dropout()
    settings = SETTINGS.model_copy(update={"train": TrainSettings(cuda_graphs=asked)})
    capture_layers(model, settings, ENGINE, dataclasses.replace(CAPACITIES, tokens=tokens))
    assert captured == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replayed_is_eager():
    stages = [
        {
            "kind": kind,
            "layers": 2,
            "heads": 2,
            "intermediate_size": 128,
            "attention_dropout": 0.0,
            "hidden_dropout": 0.0,
        }
        for kind in ("joint", "text", "image")
    ]
    config = tiny_config(hidden_size=128, stages=stages)
    model = InterBertForPreTraining.from_seed(config, 0).to("cuda", torch.bfloat16).train()
    batches = [make_batch(*lengths).to("cuda") for lengths in BATCHES]
    expected = [loss_and_gradients(model, batch) for batch in batches]
    seen = []
    weight = model.interbert.stages[0][0].qkv.weight
    weight.register_post_accumulate_grad_hook(lambda parameter: seen.append(parameter.grad.norm().item()))
    capture_layers(model, ASKED, ENGINE, CAPACITIES)
    for batch, (loss, gradients) in zip(batches, expected, strict=True):
        found, others = loss_and_gradients(model, batch)
        torch.testing.assert_close(found, loss, rtol=1e-2, atol=1e-2)
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=2e-2, atol=2e-2, msg=name)
    assert len(seen) == len(batches)

    model.zero_grad()
    for batch in batches[:2]:
        loss_and_gradients(model, batch, clear=False)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            both = sum(gradients.get(name, torch.zeros_like(parameter)) for _, gradients in expected[:2])
            torch.testing.assert_close(parameter.grad, both, rtol=2e-2, atol=2e-2, msg=name)
