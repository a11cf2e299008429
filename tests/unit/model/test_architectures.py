"""InterBERT and its rivals: one packed forward each, held to its padded twin."""

import pytest
import torch
from made_batches import CLASSES, WIDTH, WORDS, make_batch, single_pair
from torch.nn import functional as F

from interbert import objectives
from interbert.model import ConfigurationError, InterBertConfig, InterBertForPreTraining
from interbert.model.padded import forward_padded
from interbert.model.shape.heads_needed import needs
from interbert.model.shape.shape import ARCHITECTURES, IMAGE_NORMS, SCALES
from tests.unit.model.test_interface import padded_inputs

SIZES = {"vocab_size": WORDS, "feature_width": WIDTH, "classes": CLASSES, "initializer_range": 0.2}
OBJECTIVES = {"vlbert": ["mlm", "moc"]}
ALL = ["msm", "mrm", "itm"]


def model_of(architecture, **override):
    return InterBertForPreTraining.from_seed(
        InterBertConfig.from_preset("tiny", architecture, **SIZES, **override), 1
    ).eval()


def gradients(model, output, batch, names):
    model.zero_grad()
    sum(loss.sum for loss in objectives.losses(names, output, batch).values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_equals_padded(architecture):
    model, batch = model_of(architecture), make_batch([5, 9, 3, 7], [4, 1, 6, 2])
    names = OBJECTIVES.get(architecture, ALL)
    packed = model.forward_packed(batch, needs(names))
    padded = forward_padded(model, batch, text_width=11, region_width=8)
    for name in (
        "text_hidden_TH",
        "image_hidden_VH",
        "token_logits_MW",
        "region_logits_NK",
        "match_logits_P2",
    ):
        found, expected = getattr(packed, name), getattr(padded, name)
        if expected is None:
            assert found is None and architecture == "vlbert"
            continue
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5, msg=name)
    of_packed, of_padded = (gradients(model, output, batch, names) for output in (packed, padded))
    assert (
        of_packed.keys()
        == of_padded.keys()
        == {n for n, _ in model.named_parameters() if "heads.match" not in n or architecture != "vlbert"}
    )
    for name, gradient in of_packed.items():
        torch.testing.assert_close(
            gradient, of_padded[name], rtol=1e-4, atol=2e-5 * gradient.abs().max(), msg=name
        )


@pytest.mark.parametrize("norm", IMAGE_NORMS)
def test_every_norm_of_regions_with_the_pooled_head(norm):
    model = model_of("visualbert", image_norm=norm, match_head="pooled")
    batch = make_batch([5, 9, 3, 7], [4, 1, 6, 2])
    packed = model.forward_packed(batch)
    padded = forward_padded(model, batch, text_width=11, region_width=8)
    for name in ("text_hidden_TH", "image_hidden_VH", "match_logits_P2"):
        torch.testing.assert_close(getattr(packed, name), getattr(padded, name), rtol=2e-5, atol=2e-5)
    found = gradients(model, packed, batch, ALL)
    assert found.keys() == dict(model.named_parameters()).keys()
    of_regions = (
        model.interbert.text_embeddings.norm if norm == "text" else model.interbert.image_embeddings.norm
    )
    with torch.no_grad():
        of_regions.weight.mul_(-1)
    assert (model.forward_packed(batch).image_hidden_VH - packed.image_hidden_VH).abs().max() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_pair_sees_nothing_of_its_neighbours(architecture):
    model, batch = model_of(architecture), make_batch([5, 9, 3], [4, 1, 6])
    together = model.forward_packed(batch)
    for pair in range(3):
        alone = model.forward_packed(single_pair(batch, pair))
        rows = slice(*batch.cu_text[pair : pair + 2].tolist())
        torch.testing.assert_close(together.text_hidden_TH[rows], alone.text_hidden_TH, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_words_see_the_image_and_regions_the_words(architecture):
    model, batch, other = model_of(architecture), make_batch([5, 9], [4, 3]), make_batch([5, 9], [4, 3])
    other.features_RD = other.features_RD + 1
    before, after = model.forward_packed(batch), model.forward_packed(other)
    assert (before.text_hidden_TH - after.text_hidden_TH).abs().max() > 1e-3
    other = make_batch([5, 9], [4, 3])
    other.input_ids_T = other.input_ids_T.roll(1)
    assert (before.image_hidden_VH - model.forward_packed(other).image_hidden_VH).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_through_hugging_face(architecture, tmp_path):
    model, batch = model_of(architecture), make_batch([5, 9, 3], [4, 1, 6])
    model.save_pretrained(tmp_path)
    again = InterBertForPreTraining.from_pretrained(tmp_path).eval()
    inputs = padded_inputs(batch)
    output = again(**inputs, add_global=model.config.global_token != "none")
    packed = model.forward_packed(batch)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(output.text_hidden[real], packed.text_hidden_TH, rtol=1e-4, atol=2e-5)
    if architecture == "vlbert":
        assert output.itm_logits is None and output.match_probability is None
    else:
        torch.testing.assert_close(output.match_probability, packed.match_probability_P, rtol=1e-4, atol=1e-5)
    alone = again(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    assert alone.text_hidden.shape == output.text_hidden.shape and alone.region_hidden is None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_to_predict_is_an_exact_zero_with_gradients(architecture):
    model, batch = model_of(architecture), make_batch([5, 9], [4, 3], mask=False)
    names = OBJECTIVES.get(architecture, ["msm", "mrm"])
    output = model.forward_packed(batch, needs(names))
    found = objectives.losses(names, output, batch)
    assert all(loss.sum.item() == 0 and loss.count.item() == 0 for loss in found.values())
    sum(loss.sum for loss in found.values()).backward()
    unasked = "heads.match", "interbert.text_pooler", "interbert.image_pooler"
    for name, parameter in model.named_parameters():
        if not name.startswith(unasked):
            assert parameter.grad is not None and not parameter.grad.any(), name


def test_one_logit_is_binary_cross_entropy_of_a_match():
    logits, is_match = torch.tensor([[2.0], [-1.0], [0.5], [3.0]]), torch.tensor([1, 0, 0, -100])
    total, count = objectives.itm(logits, is_match)
    expected = F.binary_cross_entropy(logits[:3, 0].sigmoid(), torch.tensor([1.0, 0.0, 0.0]), reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-6) and count.item() == 3


def test_tiny_architectures_are_equally_large():
    sizes = {a: sum(p.numel() for p in model_of(a).interbert.stages.parameters()) for a in ARCHITECTURES}
    assert len(set(sizes.values())) == 1, sizes


def test_base_sizes_are_those_of_the_papers():
    def layers(architecture):
        config = InterBertConfig.from_preset("base", architecture)
        count = {}
        for stage in config.encoder_stages:
            count[stage.kind] = count.get(stage.kind, 0) + stage.layers
        return count

    assert layers("interbert") == {"joint": 6, "text": 6, "image": 6}
    assert layers("imagebert") == layers("visualbert") == layers("vlbert") == {"joint": 12}
    assert layers("vilbert") == {"text": 12, "cross": 6, "image": 6}
    assert set(SCALES) == {"tiny", "small", "base"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"match_head": "none", "prediction_heads": ["match"]}, "does not match captions"),
        ({"match_head": "both"}, "match_head is 'both'"),
        (
            {
                "match_head": "cls",
                "stages": [{"kind": "text", "layers": 1, "heads": 2, "intermediate_size": 8}],
            },
            "no joint",
        ),
    ],
)
def test_what_cannot_be_built(override, message):
    with pytest.raises(ConfigurationError, match=message):
        InterBertConfig(**override)
