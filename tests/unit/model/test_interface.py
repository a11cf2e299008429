"""The Hugging Face face of the model: padded forward, save and load, Auto classes."""

import pytest
import torch
from made_batches import WIDTH, make_batch, tiny_config
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, BertConfig, BertModel

from interbert.model import ConfigurationError, InterBertConfig, InterBertForPreTraining, InterBertModel
from interbert.model.padded import pad


def model_of(**override) -> InterBertForPreTraining:
    return InterBertForPreTraining.from_seed(tiny_config(**override), seed=1).eval()


def padded_inputs(batch):
    ids, text_mask = pad(batch.input_ids_T, batch.cu_text, batch.max_text + 2)
    features, region_mask = pad(
        batch.features_RD.masked_fill(batch.zeroed_R[:, None], 0), batch.cu_regions, batch.max_regions + 1
    )
    boxes, _ = pad(batch.boxes_R5, batch.cu_regions, batch.max_regions + 1)
    return {
        "input_ids": ids,
        "attention_mask": text_mask.long(),
        "region_features": features,
        "region_boxes": boxes,
        "region_mask": region_mask.long(),
    }


def test_padded_forward_equals_packed_forward():
    model, batch = model_of(), make_batch([5, 9, 3], [4, 1, 6])
    inputs = padded_inputs(batch)
    output, packed = model(**inputs, add_global=True), model.forward_packed(batch)
    real_text, real_regions = inputs["attention_mask"].bool(), inputs["region_mask"].bool()
    torch.testing.assert_close(output.text_hidden[real_text], packed.text_hidden_TH)
    assert output.region_hidden.shape[:2] == (3, 1 + real_regions.shape[1])
    torch.testing.assert_close(output.token_logits[real_text][batch.masked_tokens_M], packed.token_logits_MW)
    of_regions = output.region_logits[:, 1:][real_regions]
    torch.testing.assert_close(of_regions[batch.masked_regions_N], packed.region_logits_NK)
    torch.testing.assert_close(output.match_probability, packed.match_probability_P)
    assert not output.text_hidden[~real_text].any() and not output.region_logits[:, 1:][~real_regions].any()


def test_a_global_token_given_by_the_caller_equals_one_that_is_added():
    model, inputs = model_of(), padded_inputs(make_batch([5, 9], [4, 6]))
    added = model(**inputs, add_global=True)
    mean = inputs["region_features"].sum(1, keepdim=True) / inputs["region_mask"].sum(1)[:, None, None]
    whole = torch.tensor([0.0, 0, 1, 1, 1]).expand(2, 1, 5)
    given = dict(inputs)
    given["region_features"] = torch.cat([mean, inputs["region_features"]], 1)
    given["region_boxes"] = torch.cat([whole, inputs["region_boxes"]], 1)
    given["region_mask"] = torch.cat([torch.ones(2, 1, dtype=torch.int64), inputs["region_mask"]], 1)
    torch.testing.assert_close(model(**given).itm_logits, added.itm_logits)


def test_match_probability_hides_that_class_zero_is_the_match():
    model, inputs = model_of(), padded_inputs(make_batch([5], [4]))
    with torch.no_grad():
        model.heads["match"].classifier.weight.zero_()
        model.heads["match"].classifier.bias.copy_(torch.tensor([2.0, 0.0]))
    assert model(**inputs).match_probability.item() == pytest.approx(0.8808, abs=1e-4)


def test_text_alone_and_image_alone():
    model, inputs = model_of(), padded_inputs(make_batch([5, 9], [4, 6]))
    text = {k: inputs[k] for k in ("input_ids", "attention_mask")}
    image = {k: v for k, v in inputs.items() if k not in text}
    only_text, only_image = model(**text), model(**image, add_global=True)
    assert only_text.region_hidden is None and only_text.itm_logits is None
    assert only_image.text_hidden is None and only_image.region_pooled.shape == (2, 20)
    alone = {k: v[1:] for k, v in image.items()}
    torch.testing.assert_close(model(**alone, add_global=True).region_hidden[0], only_image.region_hidden[1])


@pytest.mark.parametrize("layers", [2, 4])
def test_text_alone_equals_bert(layers):
    bert = BertModel(
        BertConfig(
            vocab_size=50,
            hidden_size=24,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=24,
            initializer_range=0.3,
        )
    ).eval()
    half = {"layers": layers // 2, "heads": 4, "intermediate_size": 48}
    model = model_of(stages=[{"kind": "joint", **half}, {"kind": "text", **half}])
    missing, unexpected = model.interbert.load_state_dict(as_ours(bert.state_dict(), layers), strict=False)
    assert not unexpected and all(name.startswith(("image_", "text_pooler")) for name in missing)

    inputs = padded_inputs(make_batch([5, 9, 3], [4, 1, 6]))
    types = torch.randint(0, 2, inputs["input_ids"].shape)
    theirs = bert(inputs["input_ids"], inputs["attention_mask"], types).last_hidden_state
    ours = model(inputs["input_ids"], inputs["attention_mask"], types).text_hidden
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(ours[real], theirs[real], rtol=1e-5, atol=1e-5)


def as_ours(state, layers):
    """BERT's weights under our names: one matrix for queries, keys, values; layers in two stages."""
    names = {"words": "word", "positions": "position", "types": "token_type"}
    ours = {
        f"text_embeddings.{a}.weight": state[f"embeddings.{b}_embeddings.weight"] for a, b in names.items()
    }
    parts = {
        "out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm": "output.LayerNorm",
    }
    for kind in ("weight", "bias"):
        ours[f"text_embeddings.norm.{kind}"] = state[f"embeddings.LayerNorm.{kind}"]
        for n in range(layers):
            stage, layer = divmod(n, layers // 2)
            ours[f"stages.{stage}.{layer}.qkv.{kind}"] = torch.cat(
                [state[f"encoder.layer.{n}.attention.self.{x}.{kind}"] for x in ("query", "key", "value")]
            )
            for mine, theirs in parts.items():
                ours[f"stages.{stage}.{layer}.{mine}.{kind}"] = state[f"encoder.layer.{n}.{theirs}.{kind}"]
    return ours


def test_saved_and_loaded_models_are_equal_and_stay_tied(tmp_path):
    model, inputs = (
        model_of(inherited_parameters=["interbert.text_embeddings"]),
        padded_inputs(make_batch([5], [4])),
    )
    model.save_pretrained(tmp_path)
    loaded = AutoModelForPreTraining.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, InterBertForPreTraining)
    assert loaded.heads["tokens"].decoder.weight is loaded.interbert.text_embeddings.words.weight
    assert torch.equal(loaded(**inputs).token_logits, model(**inputs).token_logits)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), InterBertConfig)
    assert loaded.config.inherited_parameters == ["interbert.text_embeddings"]
    base = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(base, InterBertModel)
    assert torch.equal(base(**inputs).text_hidden, model(**inputs).text_hidden)


def test_weights_depend_on_the_seed_alone():
    first = model_of().state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = model_of().state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert torch.equal(before, torch.get_rng_state())


def test_base_has_the_size_of_the_paper():
    with torch.device("meta"):
        model = InterBertForPreTraining(InterBertConfig.from_preset("base"))
    assert sum(p.numel() for p in model.interbert.parameters()) == pytest.approx(154.6e6, rel=5e-4)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(157.0e6, rel=5e-4)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"hidden": 3}, "no field hidden"),
        ({"fusion": "cat"}, "fusion is 'cat'"),
        (
            {"stages": [{"kind": "joint", "layers": 1, "heads": 5, "intermediate_size": 8}]},
            "768 does not divide into 5 heads; .* such as 4",
        ),
        (
            {"stages": [{"kind": "joint", "layers": 0, "heads": 4, "intermediate_size": 8}]},
            "stages.0..layers is 0; it must be a whole number above 0",
        ),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"classes": 0}, "classes is 0"),
        ({"stages": [{"kind": "joint", "layers": 1, "heads": 4}]}, "stages.0. has the fields"),
    ],
)
def test_wrong_configurations_are_refused(override, words):
    with pytest.raises(ConfigurationError, match=words):
        InterBertConfig.from_preset("base", **override)


def test_data_without_class_evidence_needs_no_region_head():
    InterBertConfig.from_preset("base", classes=0, prediction_heads=["tokens", "match"])


def test_wrong_inputs_are_refused():
    model, inputs = model_of(), padded_inputs(make_batch([5], [4]))
    with pytest.raises(ValueError, match=f"7 wide; this model takes {WIDTH}"):
        model(region_features=torch.zeros(1, 2, 7), region_boxes=torch.zeros(1, 2, 5))
    with pytest.raises(ValueError, match="come together"):
        model(region_features=inputs["region_features"])
    with pytest.raises(ValueError, match="30 places"):
        model(input_ids=torch.ones(1, 30, dtype=torch.int64))


def test_a_pair_without_a_token_is_refused():
    """Its pooled vector would be its neighbour's."""
    model, batch = model_of(), make_batch([5, 9, 3], [4, 1, 6])
    inputs = padded_inputs(batch)
    inputs["attention_mask"][1] = 0
    with pytest.raises(ValueError, match="attention_mask, row 1: hides everything"):
        model(**inputs, add_global=True)
