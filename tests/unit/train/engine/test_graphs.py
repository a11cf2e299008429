"""The encoder's layers at fixed shapes, and replayed from CUDA graphs where there is a GPU."""

import dataclasses
import inspect

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert import objectives
from interbert.batches.capacities import Capacities
from interbert.config import Settings, SettingsError
from interbert.model import InterBertForPreTraining
from interbert.model.shape.heads_needed import needs
from interbert.train.engine import graphs
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.fixed_stage import FixedStage, own_gradients, run_fixed
from interbert.train.engine.graphs import capture_layers, check_capturable, stage_capacities

NAMES = ["msm", "mrm", "itm"]
CAPACITIES = Capacities(tokens=70, text=40, regions=30, pairs=6, masked_tokens=20, masked_regions=20)
SETTINGS = Settings(name="small", data={"max_text_tokens": 12, "max_regions": 10})
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


def test_evaluation_and_maps_of_attention_keep_their_own_shapes():
    model = InterBertForPreTraining.from_seed(tiny_config(), 0)
    capacity = dataclasses.replace(stage_capacities(model, SETTINGS, CAPACITIES)[0], rows=1)
    FixedStage(model.interbert.stages[0], capacity).take_over()
    batch = make_batch(*BATCHES[0])
    model.eval().forward_packed(batch, {"match"})
    model.train()
    assert len(model.forward_packed(batch, {"match"}, output_attentions=True).attentions["joint"]) == 2
    with pytest.raises(ValueError, match="1 rows of 6 pairs"):
        model.forward_packed(batch, {"match"})


def test_more_than_the_capacity_is_refused_with_the_settings_to_raise():
    model = InterBertForPreTraining.from_seed(tiny_config(), 0)
    capacity = stage_capacities(model, SETTINGS, CAPACITIES)[1]
    fixed = FixedStage(model.interbert.stages[1], capacity)
    cu = torch.tensor([0, 41], dtype=torch.int32)
    with pytest.raises(ValueError, match=r"41 rows of 1 pairs.*40 rows of 6 pairs.*data.text_capacity"):
        run_fixed(fixed, torch.zeros(41, 24), cu, None)


def test_what_cannot_be_captured_is_refused():
    model = InterBertForPreTraining.from_seed(tiny_config(), 0)
    with pytest.raises(SettingsError, match=r"config.json has ZeRO stage 3.*stage 2 or lower"):
        check_capturable(model, dataclasses.replace(ENGINE, stage=3))
    with pytest.raises(SettingsError, match=r"runs on a CPU; set train.cuda_graphs=false"):
        check_capturable(model, ENGINE)


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


def test_capture_and_replay_on_a_stand_in(monkeypatch):
    """All of the way to a graph but the graph: capture runs the layers at their capacity, replays leave gradients in
    one place."""
    captured = []

    def make_graphed_callables(callables, sample_args, **named):
        out = callables(*sample_args)
        torch.autograd.grad(
            out.sum(), [p for p in callables.parameters() if p.requires_grad], allow_unused=True
        )
        captured.append((tuple(out.shape), callables.capacity))
        return callables

    real = inspect.signature(torch.cuda.make_graphed_callables).parameters
    assert list(real)[:2] == ["callables", "sample_args"]
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make_graphed_callables)
    monkeypatch.setattr(graphs, "check_capturable", lambda model, config: None)
    monkeypatch.setattr(graphs, "fused_unusable", lambda qkv, longest: None)
    model = without_dropout()
    expected = [loss_and_gradients(model, make_batch(*lengths)) for lengths in BATCHES]
    capture_layers(model, SETTINGS, ENGINE, CAPACITIES)
    assert [(rows, capacity.longest) for (rows, _), capacity in captured] == [(70, 23), (40, 12), (36, 11)]
    for lengths, (loss, gradients) in zip(BATCHES, expected, strict=True):
        found, others = loss_and_gradients(model, make_batch(*lengths))
        torch.testing.assert_close(found, loss)
        for name, gradient in gradients.items():
            torch.testing.assert_close(others[name], gradient, rtol=1e-7, atol=1e-9, msg=name)

    monkeypatch.setattr(graphs, "fused_unusable", lambda qkv, longest: "no nvcc")
    with pytest.raises(SettingsError, match=r"needs fused attention: no nvcc; set train.cuda_graphs=false"):
        capture_layers(model, SETTINGS, ENGINE, CAPACITIES)


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
    capture_layers(model, SETTINGS, ENGINE, CAPACITIES)
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
