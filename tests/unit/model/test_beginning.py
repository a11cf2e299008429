"""How models come by their numbers."""

import pytest
import torch
from torch import nn

from interbert.files import write_sums
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.model.beginning import drawn, fill
from interbert.model.loading import load_ours, open_ours

SIZES = {"vocab_size": 500, "feature_width": 64, "classes": 30}


def tiny(**override):
    return InterBertConfig.from_preset("tiny", **SIZES, **override)


def test_weights_are_normal_biases_zero_and_norms_change_nothing():
    model = InterBertForPreTraining.from_seed(tiny(), 3)
    owners = dict(model.named_modules())
    kinds = set()
    for name, parameter in model.named_parameters():
        owner, _, key = name.rpartition(".")
        if key == "bias":
            assert not parameter.any(), name
        elif isinstance(owners[owner], nn.LayerNorm):
            assert (parameter == 1).all(), name
        else:
            assert parameter.std().item() == pytest.approx(model.config.initializer_range, rel=0.2), name
            assert abs(parameter.mean().item()) < 0.004, name
        kinds.add((key, type(owners[owner]).__name__))
    assert len(kinds) >= 6
    assert model.heads["tokens"].decoder.weight is model.interbert.text_embeddings.words.weight


def test_each_parameter_depends_on_the_seed_and_its_name_alone():
    """Other heads, other layers, another order: what both models have is the same."""
    one = dict(InterBertForPreTraining.from_seed(tiny(), 3).named_parameters())
    other = dict(InterBertForPreTraining.from_seed(tiny(prediction_heads=["match"]), 3).named_parameters())
    assert other.keys() < one.keys()
    assert all(torch.equal(one[name], value) for name, value in other.items())
    again = dict(InterBertForPreTraining.from_seed(tiny(), 4).named_parameters())
    weights = [name for name, value in one.items() if value.ndim == 2]
    assert not any(torch.equal(one[name], again[name]) for name in weights)
    same_shape = [one[name].flatten()[:50] for name in weights]
    assert len({tuple(value.tolist()) for value in same_shape}) == len(weights)


def test_the_global_generator_is_left_as_it_was():
    state = torch.get_rng_state()
    InterBertForPreTraining.from_seed(tiny(), 3)
    assert torch.equal(state, torch.get_rng_state())


def test_one_parameter_at_a_time_is_read_and_placed():
    model = InterBertForPreTraining.empty(tiny())
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    names, read, seen = [name for name, _ in model.named_parameters()], drawn(model, 1, 0.02), []

    def place(parameter):
        seen.append(names[len(seen)])
        assert parameter.device.type == "cpu" and parameter.requires_grad
        parameter.data = torch.empty(0)  # as if it had been given away

    fill(model, read, place)
    assert seen == names and sum(parameter.numel() for parameter in model.parameters()) == 0


def test_a_folder_in_several_files_is_read_from_all(tmp_path):
    model = InterBertForPreTraining.from_seed(tiny(), 3)
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    write_sums(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    back = load_ours(tmp_path)
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())
    assert back.heads["tokens"].decoder.weight is back.interbert.text_embeddings.words.weight


def test_weights_that_do_not_fit_are_named(tmp_path):
    InterBertForPreTraining.from_seed(tiny(prediction_heads=["tokens", "regions"]), 3).save_pretrained(
        tmp_path
    )
    other = tiny(prediction_heads=["tokens", "match"])
    other.classes = 31
    other.feature_width = 65
    other.architectures = ["InterBertForPreTraining"]
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError) as error:
        open_ours(tmp_path)
    told = str(error.value)
    assert "missing: heads.match" in told and "unexpected: heads.regions" in told
    assert "image_embeddings.features.weight ([128, 64] there, [128, 65] needed)" in told
