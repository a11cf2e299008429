"""VisualBERT, UNITER and VOLTA's models: what they say there is what they say here."""

import pytest
import torch
from torch import Tensor, nn
from transformers import VisualBertConfig, VisualBertForPreTraining
from uniter_model import Uniter
from volta_model import CLASSES, WIDTH, Volta, configuration

from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.model.convert import (
    WeightsError,
    convert_uniter,
    convert_visualbert,
    convert_volta,
    export_visualbert,
)

WORDS, HIDDEN = 40, 24
UNITER = {"vocab_size": WORDS, "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 2}
UNITER |= {"intermediate_size": 40, "max_position_embeddings": 16, "layer_norm_eps": 1e-12}
VISUAL = {**UNITER, "visual_embedding_dim": WIDTH}
LAYERS = {"visualbert": ["joint"] * 2, "uniter": ["joint"] * 2}
LAYERS["vilbert"] = ["text", "text", "cross", "apart", "cross", "apart"]


def random(model: nn.Module) -> nn.Module:
    """Far from how a model begins: norms and biases that matter."""
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shift = 1.0 if "Norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=g) * 0.3 + shift)
    return model.eval()


def inputs() -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    words, regions = torch.ones(3, 6, dtype=torch.int64), torch.ones(3, 5, dtype=torch.int64)
    words[1, 4:] = regions[2, 2:] = 0
    corners = torch.rand(3, 5, 2, 2, generator=g).sort(2).values.flatten(2)
    area = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    return {
        "input_ids": torch.randint(0, WORDS, (3, 6), generator=g),
        "attention_mask": words,
        "region_features": torch.randn(3, 5, WIDTH, generator=g),
        "region_boxes": torch.cat([corners, area[..., None]], -1),
        "region_mask": regions,
    }


def said(model: InterBertForPreTraining, **more) -> dict[str, Tensor]:
    with torch.no_grad():
        return model.eval()(**inputs() | more)


def same(found: Tensor, expected: Tensor, mask: Tensor | None = None) -> None:
    if mask is not None:
        found, expected = found[mask.bool()], expected[mask.bool()]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def same_outputs(found, expected, words: Tensor, regions: Tensor) -> None:
    for name, value in expected.items():
        mask = {"text": words, "token": words, "region": regions}.get(name.split("_")[0])
        same(found[name], value, mask)


def visual_bert(**fields) -> VisualBertForPreTraining:
    return random(VisualBertForPreTraining(VisualBertConfig(**VISUAL | fields)))


@torch.no_grad()
def said_by_visual_bert(model: VisualBertForPreTraining, features: Tensor) -> dict[str, Tensor]:
    given = inputs()
    output = model(
        input_ids=given["input_ids"],
        attention_mask=given["attention_mask"],
        visual_embeds=features,
        visual_attention_mask=given["region_mask"],
        output_hidden_states=True,
    )
    text, image = output.hidden_states[-1].split([6, 5], 1)
    logits = output.prediction_logits[:, :6]
    return {
        "text_hidden": text,
        "region_hidden": image,
        "token_logits": logits,
        "itm_logits": output.seq_relationship_logits,
    }


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_visual_bert_comes_in_and_goes_out_again():
    theirs = visual_bert()
    model, report = convert_visualbert(weights_of(theirs), theirs.config.to_dict())
    given = inputs()
    expected = said_by_visual_bert(theirs, given["region_features"])
    same_outputs(said(model), expected, given["attention_mask"], given["region_mask"])
    assert len(report.used) == len(theirs.state_dict()) and not report.left_random
    config, weights, notes = export_visualbert(model)
    assert notes == []
    again = VisualBertForPreTraining(VisualBertConfig(**config))
    missing, unexpected = again.load_state_dict(weights, strict=False)
    assert not missing and not unexpected
    for name, value in said_by_visual_bert(again.eval(), given["region_features"]).items():
        assert torch.equal(value, expected[name]), name


def ours(**fields) -> InterBertForPreTraining:
    stage = {"kind": "joint", "layers": 2, "heads": 2, "intermediate_size": 40}
    base = {"vocab_size": WORDS, "hidden_size": HIDDEN, "feature_width": WIDTH, "classes": CLASSES}
    base |= {"stages": [stage], "max_position_embeddings": 16, "pooler_size": HIDDEN}
    preset = {"visual_place": True, "global_token": "none", "match_head": "cls", "image_norm": "text"}
    return random(InterBertForPreTraining(InterBertConfig(**base | preset | fields)))


@pytest.mark.parametrize("match_head", ["cls", "pooled"])
def test_ours_goes_out_and_comes_back(match_head):
    """The preset visualbert, boxes and all; one logit of a match becomes two classes."""
    model, given = ours(match_head=match_head), inputs()
    config, weights, notes = export_visualbert(model)
    assert [note.split(":")[0].split(" are")[0] for note in notes] == [
        "left out, VisualBERT has no such heads",
        "visual_embeds",
    ]
    theirs = VisualBertForPreTraining(VisualBertConfig(**config))
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert not missing and not unexpected
    side_by_side = torch.cat([given["region_features"], given["region_boxes"]], -1)
    found, expected = said_by_visual_bert(theirs.eval(), side_by_side), said(model)
    for name, mask in (("text_hidden", "attention_mask"), ("region_hidden", "region_mask")):
        same(found[name], expected[name], given[mask])
    same(found["token_logits"], expected["token_logits"], given["attention_mask"])
    same(found["itm_logits"].softmax(-1)[:, 0], expected["match_probability"])
    back, report = convert_visualbert(weights, config)
    assert back.config.match_head == match_head and not report.left_random
    kept = {n: p for n, p in model.named_parameters() if not n.startswith("heads.regions")}
    for name, parameter in back.named_parameters():
        if "image_embeddings" not in name or "bias" not in name:
            assert torch.equal(parameter, kept[name]), name
    same(said(back)["region_hidden"], expected["region_hidden"], given["region_mask"])


def test_what_would_be_another_model_is_said():
    with pytest.raises(WeightsError, match="LayerNorm of their own here"):
        export_visualbert(ours(image_norm="own"))
    _, _, notes = export_visualbert(ours(image_norm="own"), inexact=True)
    assert "not exact: the LayerNorm of regions is left out" in notes[0]
    for fields, fault in (
        ({"match_head": "fused"}, "match_head 'fused'"),
        ({"words_see_image": True}, "words see the whole image"),
        ({"image_norm": "parts"}, "normed apart"),
        ({"prediction_heads": ["match"]}, "no word head"),
        ({"match_head": "pooled", "pooler_size": 20}, "pooler_size is 20"),
    ):
        with pytest.raises(WeightsError, match=fault):
            export_visualbert(ours(**fields))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [({"bypass_transformer": True}, "bypass_transformer"), ({"hidden_act": "relu"}, "hidden_act is 'relu'")],
)
def test_a_visual_bert_that_has_no_place_here(fields, fault):
    theirs = visual_bert(**fields)
    with pytest.raises(WeightsError, match=fault):
        convert_visualbert(weights_of(theirs), theirs.config.to_dict())


def test_uniter():
    theirs, given = random(Uniter(UNITER, WIDTH, CLASSES)), inputs()
    order = ("input_ids", "attention_mask", "region_features", "region_boxes", "region_mask")
    with torch.no_grad():
        expected = theirs(*(given[name] for name in order))
    model, report = convert_uniter(weights_of(theirs), UNITER)
    found = said(model)
    matched = expected.pop("itm_logits")
    same_outputs(found, expected, given["attention_mask"], given["region_mask"])
    same(found["match_probability"], matched.softmax(-1)[:, 1])
    assert report.set_aside == ["uniter.img_embeddings.mask_embedding.weight"] and not report.left_random


def test_uniter_without_heads_and_with_a_damage():
    weights = weights_of(random(Uniter(UNITER, WIDTH, CLASSES)))
    bare = {name: value for name, value in weights.items() if name.startswith("uniter.")}
    assert list(convert_uniter(bare, UNITER)[0].heads) == []
    gone = {
        name: value for name, value in weights.items() if name != "uniter.img_embeddings.pos_linear.weight"
    }
    with pytest.raises(WeightsError, match=r"missing \(1\):\n    uniter\.img_embeddings\.pos_linear\.weight"):
        convert_uniter(gone, UNITER)
    with pytest.raises(WeightsError, match=r"gives .*, \[24, 5\] needed"):
        convert_uniter(weights | {"uniter.img_embeddings.pos_linear.weight": torch.zeros(HIDDEN, 6)}, UNITER)
    with pytest.raises(WeightsError, match="num_hidden_layers is missing"):
        convert_uniter(weights, {k: v for k, v in UNITER.items() if k != "num_hidden_layers"})


@pytest.mark.parametrize("kind", LAYERS)
def test_volta(kind):
    config, given = configuration(kind, LAYERS[kind]), inputs()
    theirs = random(Volta(config))
    real = given["region_mask"].float()[..., None]
    mean = (given["region_features"] * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
    whole = torch.tensor([0.0, 0, 1, 1, 1]).expand(3, 1, 5)
    regions = torch.cat([torch.ones(3, 1, dtype=torch.int64), given["region_mask"]], 1)
    with torch.no_grad():
        expected = theirs(
            given["input_ids"],
            given["attention_mask"],
            torch.cat([mean, given["region_features"]], 1),
            torch.cat([whole, given["region_boxes"]], 1),
            regions,
        )
    model, report = convert_volta(weights_of(theirs), config)
    same_outputs(said(model, add_global=True), expected, given["attention_mask"], regions)
    assert sorted(report.used) == sorted(weights_of(theirs)) and not report.left_random
    kinds = [(stage.kind, stage.layers) for stage in model.config.encoder_stages]
    together = [("cross", 1), ("text", 1), ("image", 1)]
    assert kinds == ([("text", 2), *together, *together] if kind == "vilbert" else [("joint", 2)])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"image_embeddings": "vl-bert"},
            "image_embeddings is 'vl-bert'; visualbert, uniter, vilbert are read",
        ),
        ({"image_embeddings": "lxmert"}, "image_embeddings is 'lxmert'"),
        ({"fusion_method": "text"}, "fusion_method is 'text'"),
        ({"tv_attn_sublayers": [2]}, "sublayers 0 and 1 are tt_attn, vt_attn, vv_attn, t_ff, v_ff, shared"),
        ({"bert_model": "xlm-roberta-base"}, "positions are counted"),
        ({"sublayer2attn_hidden_size": {"0": 12}}, "sizes of their own"),
    ],
)
def test_a_volta_that_has_no_counterpart(change, fault):
    config = configuration("uniter", LAYERS["uniter"])
    with pytest.raises(WeightsError, match=fault):
        convert_volta(weights_of(Volta(config)), config | change)


def test_shared_sublayers_that_differ_are_refused():
    config = configuration("uniter", LAYERS["uniter"])
    weights = weights_of(random(Volta(config)))
    weights["bert.encoder.layer.0.attention_self.v_query.weight"] += 1
    with pytest.raises(WeightsError, match=r"v_query\.weight: differs from bert\.encoder"):
        convert_volta(weights, config)
