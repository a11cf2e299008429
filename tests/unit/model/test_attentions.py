"""What each layer attends to, as an output of the one forward walk."""

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert.batches.batch import Batch
from interbert.model import InterBertForPreTraining, InterBertModel
from tests.unit.model.test_interface import padded_inputs

LAYERS = [{"layers": 2, "heads": 4, "intermediate_size": 48, "kind": kind} for kind in ("cross", "text")]


def maps_of(model: InterBertForPreTraining, batch: Batch) -> dict:
    return model.forward_packed(batch, output_attentions=True).attentions


def test_a_map_is_what_its_layer_mixes_values_by():
    """The last joint layer's output, made anew from its map and its values, one pair after the other."""
    model, batch = InterBertForPreTraining.from_seed(tiny_config(), 1).eval(), make_batch([5, 3], [4, 6])
    layer, seen = model.interbert.stages[0][-1], {}
    layer.qkv.register_forward_hook(lambda _, given, out: seen.update(values=layer.in_heads(out)[:, 2]))
    layer.out.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0]))
    maps = maps_of(model, batch)
    assert {kind: len(layers) for kind, layers in maps.items()} == {"joint": 2, "text": 2, "image": 2}
    assert [m.shape for m in maps["joint"][-1]] == [(4, 10, 10), (4, 10, 10)]
    assert [m.shape for m in maps["text"][0]] == [(4, 5, 5), (4, 3, 3)]
    assert [m.shape for m in maps["image"][0]] == [(3, 5, 5), (3, 7, 7)]
    rows = zip(maps["joint"][-1], seen["values"].split([10, 10]), strict=True)
    mixed = torch.cat([(m @ values.transpose(0, 1)).transpose(0, 1) for m, values in rows])
    torch.testing.assert_close(mixed.flatten(1), seen["mixed"], rtol=1e-5, atol=1e-5)


def test_streams_that_meet_have_a_map_each_way():
    config = tiny_config(stages=LAYERS)
    model, batch = InterBertForPreTraining.from_seed(config, 1).eval(), make_batch([5, 3], [4, 6])
    layer, seen = model.interbert.stages[0][-1], {}
    layer["image"].qkv.register_forward_hook(
        lambda _, given, out: seen.update(values=layer["image"].in_heads(out)[:, 2])
    )
    layer["text"].out.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0]))
    maps = maps_of(model, batch)
    assert {kind: len(layers) for kind, layers in maps.items()} == {
        "image_to_text": 2,
        "text_to_image": 2,
        "text": 2,
    }
    assert [m.shape for m in maps["image_to_text"][0]] == [(4, 5, 5), (4, 7, 3)]
    rows = zip(maps["text_to_image"][-1], seen["values"].split([5, 7]), strict=True)
    mixed = torch.cat([(m @ values.transpose(0, 1)).transpose(0, 1) for m, values in rows])
    torch.testing.assert_close(mixed.flatten(1), seen["mixed"], rtol=1e-5, atol=1e-5)


STAGES = {
    "joint, then each stream": None,
    "streams that meet": [*LAYERS, {"layers": 1, "heads": 3, "intermediate_size": 48, "kind": "image"}],
}


@pytest.mark.parametrize("kind", [InterBertModel, InterBertForPreTraining])
@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
def test_the_padded_forward_puts_the_maps_where_tokens_stand(kind, stages):
    """Layer for layer [B, heads, S, S], S the image tokens and words of `hidden_states`."""
    config = tiny_config() if stages is None else tiny_config(stages=stages)
    pretraining = InterBertForPreTraining.from_seed(config, 1).eval()
    batch = make_batch([5, 3], [4, 6], mask=False)
    model = pretraining if kind is InterBertForPreTraining else pretraining.interbert
    # The second pair stands from right to left, its padding in front; there are 7 places for each.
    inputs = {
        name: torch.stack([first, second.flip(0)]) for name, (first, second) in padded_inputs(batch).items()
    }
    inputs["position_ids"] = torch.stack([torch.arange(7), torch.arange(6, -1, -1)])
    output = model(**inputs, add_global=True, output_attentions=True, output_hidden_states=True)
    assert len(output.attentions) == config.num_hidden_layers == len(output.hidden_states) - 1
    left = {name: iter(layers) for name, layers in maps_of(pretraining, batch).items()}
    image, text = [[0, 1, 2, 3, 4], [0, 7, 6, 5, 4, 3, 2]], [[8, 9, 10, 11, 12], [14, 13, 12]]
    joint = [one + other for one, other in zip(image, text, strict=True)]
    places = {"joint": (joint, joint), "text": (text, text), "image": (image, image)}
    places |= {"image_to_text": (image, text), "text_to_image": (text, image)}
    layers = [stage.kind for stage in config.encoder_stages for _ in range(stage.layers)]
    for layer, found in zip(layers, output.attentions, strict=True):
        expected = torch.zeros_like(found)
        for name in ("image_to_text", "text_to_image") if layer == "cross" else (layer,):
            for pair, (map_HQK, asks, seen) in enumerate(zip(next(left[name]), *places[name], strict=True)):
                expected[pair, :, torch.tensor(asks)[:, None], torch.tensor(seen)] = map_HQK
        assert found.shape == (2, len(found[0]), 15, 15) and expected.any()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert all(next(layers, None) is None for layers in left.values())


def test_text_alone_has_maps_of_its_words():
    model = InterBertForPreTraining.from_seed(tiny_config(), 1).eval()
    found = model(
        torch.tensor([[1, 7, 2], [1, 2, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]), output_attentions=True
    )
    assert [tuple(one.shape) for one in found.attentions] == [(2, 4, 3, 3)] * 4 + [(2, 3, 3, 3)] * 2
    seen = found.attentions[0].sum(-1)
    torch.testing.assert_close(seen, torch.tensor([[1.0, 1, 1], [1, 1, 0]])[:, None].expand_as(seen))
    assert not found.attentions[-1].any()  # of image layers


def test_without_asking_nothing_is_computed(monkeypatch):
    def refuse(*_):
        raise AssertionError("maps were made")

    model, batch = InterBertForPreTraining.from_seed(tiny_config(), 1).eval(), make_batch([5], [4])
    asked = model.forward_packed(batch, output_attentions=True)
    monkeypatch.setattr("interbert.model.packing.attention.maps_of", refuse)
    plain = model.forward_packed(batch)
    assert plain.attentions is None
    assert torch.equal(plain.match_logits_P2, asked.match_logits_P2)
