"""What Hugging Face users expect of a model beside its outputs: losses, other inputs, sizes, ways to compute."""

import pytest
import torch
from made_batches import CLASSES, make_batch, tiny_config
from torch.nn import functional as F
from transformers import AutoModelForPreTraining

from interbert import objectives
from interbert.model import ConfigurationError, InterBertConfig, InterBertForPreTraining
from interbert.model.layers.linear import Linear
from interbert.model.shape.heads_needed import needs
from interbert.train.engine.recompute import recompute_layers
from tests.unit.model.test_interface import model_of, padded_inputs

ALL = ["msm", "mrm", "itm"]


@pytest.fixture
def batch():
    return make_batch([5, 9, 3], [4, 1, 6])


def padded_labels(batch, inputs) -> dict[str, torch.Tensor]:
    """What the packed batch is to predict, at the padded places."""
    labels = torch.full_like(inputs["input_ids"], -100)
    of_words = torch.full_like(batch.input_ids_T, -100)
    of_words[batch.masked_tokens_M] = batch.token_targets_M
    labels[inputs["attention_mask"].bool()] = of_words
    region_labels = torch.zeros(*inputs["region_mask"].shape, CLASSES)
    of_regions = torch.zeros(len(batch.boxes_R5), CLASSES)
    of_regions[batch.masked_regions_N] = batch.class_probs_NK
    region_labels[inputs["region_mask"].bool()] = of_regions
    return {"labels": labels, "region_labels": region_labels, "match_labels": batch.is_match_P}


@pytest.mark.parametrize("add_global", [True, False])
def test_the_loss_is_that_of_pretraining(batch, add_global):
    model, inputs = model_of(global_token="after_masking" if add_global else "none"), padded_inputs(batch)
    output = model(**inputs, **padded_labels(batch, inputs), add_global=add_global)
    packed = objectives.losses(ALL, model.forward_packed(batch, needs(ALL)), batch)
    expected = sum(loss.sum / loss.count for loss in packed.values())
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert model.heads["regions"].decoder.weight.grad.any()


def test_regions_with_a_hard_label(batch):
    model, inputs = model_of(), padded_inputs(batch)
    hard = torch.where(inputs["region_mask"].bool(), 2, -100)
    output = model(**inputs, region_labels=hard, add_global=True)
    logits = output.region_logits[:, 1:].flatten(0, 1)
    torch.testing.assert_close(output.loss, F.cross_entropy(logits, hard.flatten()))


def test_labels_without_anything_known_cost_nothing(batch):
    model, inputs = model_of(), padded_inputs(batch)
    output = model(**inputs, labels=torch.full_like(inputs["input_ids"], -100))
    assert output.loss.item() == 0
    output.loss.backward()


def test_labels_of_a_head_that_did_not_run_are_refused(batch):
    with pytest.raises(ValueError, match="region_labels are given, but the head `regions` did not run"):
        model_of()(input_ids=torch.ones(1, 3, dtype=torch.long), region_labels=torch.zeros(1, 3).long())


def test_heads_that_are_not_asked_for_do_not_run(batch):
    model, inputs = model_of(), padded_inputs(batch)
    expected = model(**inputs, add_global=True).match_probability

    def refuse(*_):
        raise AssertionError("the head ran")

    for name in ("tokens", "regions", "features"):
        model.heads[name].register_forward_pre_hook(refuse)
    output = model(**inputs, add_global=True, heads=["match"])
    assert torch.equal(output.match_probability, expected) and output.token_logits is None
    with pytest.raises(ValueError, match="without the heads"):
        model(**inputs, heads=["heart"])


def test_hidden_states_are_those_between_layers(batch):
    model, inputs = model_of(), padded_inputs(batch)
    output = model(**inputs, add_global=True, output_hidden_states=True)
    states, image = output.hidden_states, output.region_hidden.shape[1]
    assert len(states) == model.config.num_hidden_layers + 1 == 7
    assert torch.equal(states[-1][:, :image], output.region_hidden)
    assert torch.equal(states[-1][:, image:], output.text_hidden)
    # The text's layers come before the image's, and leave the image's tokens as they were.
    assert torch.equal(states[4][:, :image], states[2][:, :image])
    assert not torch.equal(states[4][:, image:], states[2][:, image:])
    model.config.output_hidden_states = True
    assert all(map(torch.equal, model(**inputs, add_global=True).hidden_states, states))


def test_hidden_states_where_streams_ask_each_other(batch):
    stages = [
        {"layers": 2, "heads": 4, "intermediate_size": 48, "kind": kind}
        for kind in ("text", "cross", "image")
    ]
    model, inputs = model_of(stages=stages), padded_inputs(batch)
    output = model(**inputs, output_hidden_states=True)
    assert len(output.hidden_states) == 7
    assert torch.equal(output.hidden_states[4][:, -inputs["input_ids"].shape[1] :], output.text_hidden)


def test_vectors_and_positions_in_the_place_of_words(batch):
    model, inputs = model_of(), padded_inputs(batch)
    expected = model(**inputs, add_global=True)
    ids = inputs.pop("input_ids")
    vectors = model.get_input_embeddings()(ids)
    places = torch.arange(ids.shape[1])[None]
    for given in ({}, {"position_ids": places}, {"position_ids": places.expand(len(ids), -1)}):
        output = model(inputs_embeds=vectors, **inputs, **given, add_global=True)
        torch.testing.assert_close(output.match_probability, expected.match_probability)
    elsewhere = model(inputs_embeds=vectors, **inputs, position_ids=places + 3, add_global=True)
    assert not torch.allclose(elsewhere.match_probability, expected.match_probability)
    with pytest.raises(ValueError, match="both given"):
        model(input_ids=ids, inputs_embeds=vectors)


def test_a_tuple_on_request(batch):
    model, inputs = model_of(), padded_inputs(batch)
    output = model(**inputs)
    found = model(**inputs, return_dict=False)
    assert isinstance(found, tuple) and len(found) == len(output)
    assert torch.equal(found[0], output.text_hidden)
    labelled = model(**inputs, match_labels=batch.is_match_P, return_dict=False)
    assert labelled[0].shape == ()


def test_more_words(batch):
    model, inputs = model_of(), padded_inputs(batch)
    before = model(**inputs)
    model.resize_token_embeddings(60)
    after = model(**inputs)
    assert model.config.vocab_size == 60 and after.token_logits.shape[-1] == 60
    torch.testing.assert_close(after.token_logits[..., :50], before.token_logits)
    decoder = model.heads["tokens"].decoder
    assert decoder.weight is model.interbert.text_embeddings.words.weight and type(decoder) is Linear
    model.resize_token_embeddings(40)
    assert model(input_ids=torch.tensor([[1, 39, 2]])).token_logits.shape[-1] == 40


def test_layers_computed_twice_learn_the_same(batch):
    inputs, found = padded_inputs(batch), []
    for prepare in (
        lambda model: None,
        lambda model: model.gradient_checkpointing_enable(),
        lambda model: model.gradient_checkpointing_enable({"use_reentrant": True}),
        recompute_layers,
    ):
        model = model_of().train()
        prepare(model)
        torch.manual_seed(3)
        model(**inputs, **padded_labels(batch, inputs), add_global=True).loss.backward()
        found.append(model.interbert.stages[0][0].qkv.weight.grad)
    assert all(torch.equal(found[0], one) for one in found[1:])


def test_only_what_goes_into_a_layer_is_kept(batch):
    model, inputs = model_of().train(), padded_inputs(batch)
    model.gradient_checkpointing_enable()
    calls = []
    model.interbert.stages[0][0].qkv.register_forward_hook(lambda *_: calls.append(1))
    output = model(**inputs, match_labels=batch.is_match_P, add_global=True)
    assert len(calls) == 1
    output.loss.backward()
    assert len(calls) == 2
    model.gradient_checkpointing_disable()
    model(**inputs, match_labels=batch.is_match_P).loss.backward()
    assert len(calls) == 3


def test_ways_to_compute_attention(batch, tmp_path, monkeypatch):
    model, inputs = model_of(), padded_inputs(batch)
    assert model.config._attn_implementation == "interbert"
    expected = model(**inputs, add_global=True).match_probability
    model.save_pretrained(tmp_path)
    called = []
    for name in ("reference", "sdpa"):
        from interbert.kernels.attend import attention as chooser

        real = chooser.BACKENDS[name]
        monkeypatch.setitem(
            chooser.BACKENDS, name, lambda *a, real=real, name=name: called.append(name) or real(*a)
        )
    for asked, backend in (("eager", "reference"), ("sdpa", "sdpa")):
        called.clear()
        again = InterBertForPreTraining.from_pretrained(tmp_path, attn_implementation=asked)
        found = again(**inputs, add_global=True, output_attentions=True)
        torch.testing.assert_close(found.match_probability, expected, rtol=1e-4, atol=1e-5)
        assert set(called) == {backend} and len(found.attentions) == 6
        assert "attn_implementation" not in (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="not supported; take one of interbert, eager"):
        InterBertForPreTraining.from_pretrained(tmp_path, attn_implementation="flex_attention")
    asked = InterBertForPreTraining.from_pretrained(tmp_path, attn_implementation="flash_attention_2")
    with pytest.raises(ValueError, match="attention backend flash is for cuda"):
        asked(**inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loaded_in_half_precision_onto_a_device(batch, tmp_path, dtype):
    model, inputs = model_of(initializer_range=0.05), padded_inputs(batch)
    model.save_pretrained(tmp_path)
    half = AutoModelForPreTraining.from_pretrained(tmp_path, dtype=dtype, device_map="auto")
    assert {p.dtype for p in half.parameters()} == {dtype}
    output, expected = half(**inputs, add_global=True), model(**inputs, add_global=True)
    assert output.token_logits.dtype == dtype
    torch.testing.assert_close(output.match_probability, expected.match_probability, rtol=0.03, atol=0.01)


def test_shards(batch, tmp_path):
    model, inputs = model_of(), padded_inputs(batch)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    again = InterBertForPreTraining.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).token_logits, model(**inputs).token_logits)
    assert again.heads["tokens"].decoder.weight is again.interbert.text_embeddings.words.weight


def test_sizes_that_tools_ask_for():
    config = tiny_config()
    assert (config.num_hidden_layers, config.num_attention_heads, config.intermediate_size) == (6, 4, 48)
    assert "num_hidden_layers" not in config.to_dict()
    with pytest.raises(ConfigurationError, match="num_hidden_layers follows from `stages`"):
        InterBertConfig(num_hidden_layers=3)
    assert InterBertConfig.from_preset("base").num_hidden_layers == 18
