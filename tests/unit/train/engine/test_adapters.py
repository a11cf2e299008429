"""Adapters: what they begin as, what learns, and that merged, saved and read by peft they are one model."""

import sys

import peft
import pytest
import torch
from made_batches import make_batch, tiny_config
from torch import Tensor

from interbert.config import LoraSettings, SettingsError, TrainSettings
from interbert.model.beginning import drawn, fill
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.task_head import InterBertFineTuned
from interbert.train.engine.adapters import merged, with_adapters, write_adapter
from interbert.train.engine.frozen import freeze
from interbert.train.engine.optimizer import parameter_groups

LAYER = {"layers": 1, "heads": 4, "intermediate_size": 48}
CONFIG = tiny_config(stages=[{"kind": kind, **LAYER} for kind in ("joint", "cross", "text", "image")])
LORA = LoraSettings(rank=4, alpha=8, targets=["qkv", "up"])
SETTINGS = TrainSettings(seed=5, lora=LORA)


def plain() -> InterBertForPreTraining:
    return InterBertForPreTraining.from_seed(CONFIG, 3).eval()


def adapted(settings: TrainSettings = SETTINGS) -> InterBertForPreTraining:
    read = drawn(InterBertForPreTraining.empty(CONFIG), 3, CONFIG.initializer_range)
    return fill(*with_adapters(InterBertForPreTraining.empty(CONFIG), read, settings)).eval()


def taught() -> InterBertForPreTraining:
    """Adapters that add something, and a head that has learnt."""
    model = adapted()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or name.startswith("heads.match"):
                parameter.normal_(std=0.2)
    return model


def seen(model) -> list[Tensor]:
    with torch.no_grad():
        output = model.forward_packed(make_batch([7, 4, 9], [5, 8, 3]))
    return [output.token_logits_MW, output.region_logits_NK, output.match_logits_P2]


def weights(model) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_training_begins_with_the_model_as_it_was():
    assert all(torch.equal(one, other) for one, other in zip(seen(plain()), seen(adapted()), strict=True))


def test_adapters_stand_at_the_targets_of_every_layer():
    names = {name.removesuffix(".lora_A.default.weight") for name in weights(adapted()) if "lora_A" in name}
    layers = ["0.0", "1.0.text", "1.0.image", "2.0", "3.0"]
    assert names == {f"interbert.stages.{layer}.{which}" for layer in layers for which in ("qkv", "up")}


def test_what_is_drawn_depends_on_seed_and_name():
    name, of_other = (f"interbert.stages.{n}.0.qkv.lora_A.default.weight" for n in (0, 2))
    first, again, other = (weights(adapted(TrainSettings(seed=seed, lora=LORA))) for seed in (5, 5, 6))
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name]) and not torch.equal(first[name], first[of_other])
    assert 0.9 < first[name].abs().max() * 24**0.5 <= 1


def test_adapters_and_the_head_learn_and_nothing_else():
    model = adapted()
    freeze(model, SETTINGS, ("task", "heads.match"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, ["interbert"], SETTINGS)
    learning = {names[id(p)]: group["rate"] for group in groups for p in group["params"]}
    assert {name.split(".")[0] for name in learning if "lora_" not in name} == {"heads"}
    assert len([name for name in learning if "lora_" in name]) == 20
    assert set(learning.values()) == {1.0}  # an adapter of a part that came from BERT is new


def test_merged_they_are_one_model_of_the_usual_kind():
    model, own = taught(), InterBertForPreTraining.empty(CONFIG)
    whole = merged(weights(model), LORA)
    assert whole.keys() == weights(plain()).keys()
    found = seen(fill(own, whole.__getitem__).eval())
    assert any(
        not torch.allclose(one, other, atol=0.01) for one, other in zip(found, seen(plain()), strict=True)
    )
    for one, other in zip(seen(model), found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_peft_reads_what_was_saved(tmp_path):
    """On the model as it was: adapters and the head that learnt make it the trained one."""
    model = taught()
    write_adapter(weights(model), LORA, ("task", "heads.match"), "runs/base", tmp_path / "adapter")
    found = peft.PeftModel.from_pretrained(plain(), str(tmp_path / "adapter")).eval()
    assert found.peft_config["default"].base_model_name_or_path == "runs/base"
    for one, other in zip(seen(model), seen(found.base_model.model), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    again = found.merge_and_unload()
    for one, other in zip(seen(model), seen(again), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_peft_has_a_place_for_a_head_that_was_new(tmp_path):
    """As docs/recipes.md says: on the model that the run began with, read as one that has such a head."""
    plain().save_pretrained(tmp_path / "base")
    task = {"kind": "classify", "classes": ["a", "b"]}
    config = tiny_config(stages=CONFIG.stages, task=task, prediction_heads=[])
    read = drawn(InterBertFineTuned.empty(config), 3, CONFIG.initializer_range)
    model = fill(*with_adapters(InterBertFineTuned.empty(config), read, SETTINGS)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or name.startswith("task"):
                parameter.normal_(std=0.2)
    write_adapter(weights(model), LORA, ("task",), "runs/base", tmp_path / "adapter")
    base = InterBertFineTuned.from_pretrained(tmp_path / "base", task=task, prediction_heads=[])
    found = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval().base_model.model
    batch = make_batch([7, 4, 9], [5, 8, 3], mask=False)
    with torch.no_grad():
        assert torch.allclose(found.answer(batch), model.answer(batch), atol=1e-5)
        assert model.answer(batch).abs().max() > 0.1


def test_dropout_is_of_adapters_alone_and_follows_the_seed():
    settings = TrainSettings(seed=5, lora=LoraSettings(dropout=0.5))
    model = adapted(settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    model.train()
    for layer in model.modules():
        layer.hidden_dropout = layer.attention_dropout = 0.0
    model.config.embedding_dropout = model.config.pooled_dropout = 0.0
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(seen(model)[0])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_adapters_are_not_replayed_from_graphs():
    with pytest.raises(ValueError, match="cuda_graphs is not made for adapters"):
        TrainSettings(lora=LORA, cuda_graphs=True)


def test_without_the_package_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SettingsError, match=r"needs the package peft: pip install peft==0\.21\.2"):
        adapted()
    assert len(weights(adapted(TrainSettings()))) == len(weights(plain()))
