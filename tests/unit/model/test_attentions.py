"""What each layer attends to, as an output of the one forward walk."""

import pytest
import torch
from made_batches import make_batch, single_pair, tiny_config

from interbert.batches.batch import Batch
from interbert.model import InterBertForPreTraining, InterBertModel

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


@pytest.mark.parametrize("kind", [InterBertModel, InterBertForPreTraining])
def test_the_padded_forward_gives_the_maps_of_real_tokens(kind):
    pretraining = InterBertForPreTraining.from_seed(tiny_config(), 1).eval()
    batch = make_batch([5, 3], [4, 6], mask=False)
    model = pretraining if kind is InterBertForPreTraining else pretraining.interbert
    alone = single_pair(batch, 1)
    output = model(
        input_ids=torch.nn.functional.pad(alone.input_ids_T, (0, 2))[None],
        attention_mask=torch.tensor([[1, 1, 1, 0, 0]]),
        region_features=alone.features_RD[None],
        region_boxes=alone.boxes_R5[None],
        add_global=True,
        output_attentions=True,
    )
    expected = maps_of(pretraining, batch)
    assert output.attentions.keys() == expected.keys()
    for name, layers in output.attentions.items():
        for (found,), of_pairs in zip(layers, expected[name], strict=True):
            torch.testing.assert_close(found, of_pairs[1], rtol=1e-5, atol=1e-5)


def test_without_asking_nothing_is_computed(monkeypatch):
    def refuse(*_):
        raise AssertionError("maps were made")

    model, batch = InterBertForPreTraining.from_seed(tiny_config(), 1).eval(), make_batch([5], [4])
    asked = model.forward_packed(batch, output_attentions=True)
    monkeypatch.setattr("interbert.model.packing.attention.maps_of", refuse)
    plain = model.forward_packed(batch)
    assert plain.attentions is None
    assert torch.equal(plain.match_logits_P2, asked.match_logits_P2)
