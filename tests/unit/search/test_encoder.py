"""Streams run alone: shared rows against the plain forward, and the exact product of the match head."""

import numpy as np
import pytest
import torch
from random_model import small_config
from small_world import CLASSES, FEATURE_WIDTH, WordTokenizer, open_world

from interbert.batches.unmasked import read_regions
from interbert.model import alone
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import match_log_odds
from interbert.model.layers.linear import lay_out
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.size import parameters
from interbert.search.encoder import Encoder, image_vectors_of, parts_of, text_vectors_of
from interbert.search.engine.ranker import Ranker, split

IDS = [np.array([2, 7, 9, 3]), np.array([2, 30, 3]), np.array([2, 11, 12, 13, 14, 15, 3])]
REGIONS = np.array([3, 1, 5])


def model_of(architecture: str = "interbert", heads=("match",), **override) -> InterBertForPreTraining:
    fields = {"vocab_size": WordTokenizer.vocab_size, "classes": CLASSES, "feature_width": FEATURE_WIDTH}
    sizes = {"hidden_size": 16, "pooler_size": 24, "initializer_range": 0.5, "search_width": 32}
    config = InterBertConfig.from_preset(
        "tiny", architecture, prediction_heads=list(heads), **{**fields, **sizes, **override}
    )
    return InterBertForPreTraining.from_seed(config, 5).eval()


def inputs():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(REGIONS.sum(), FEATURE_WIDTH)).astype(np.float16))
    boxes = torch.from_numpy(rng.random((REGIONS.sum(), 5), np.float32))
    ids = torch.from_numpy(np.concatenate(IDS))
    lengths = np.array([len(one) for one in IDS])
    cu = [torch.from_numpy(np.append(0, np.cumsum(x)).astype(np.int32)) for x in (lengths, REGIONS)]
    return ids, cu[0], features, boxes, cu[1]


@pytest.mark.parametrize("heads", [("match",), ("match", "search")])
@pytest.mark.parametrize("architecture", ["interbert", "vilbert", "imagebert"])
def test_rows_that_are_shared_come_to_the_vectors_of_a_plain_forward(architecture, heads):
    if architecture == "imagebert" and "search" not in heads:
        return  # it has no vectors then: see below
    model = model_of(architecture, heads)
    encoder = Encoder(model)
    ids, cu_text, features, boxes, cu_regions = inputs()
    with torch.inference_mode():
        text = alone.text_vectors(model, alone.text_rows(model, ids, cu_text, 7), cu_text)
        image = alone.image_vectors(model, *alone.image_rows(model, features, boxes, cu_regions, 5))
    assert np.allclose(encoder.texts(IDS).vectors, text, atol=1e-5)
    assert np.allclose(encoder.images(features, boxes, REGIONS).vectors, image, atol=1e-5)
    assert text.shape == image.shape == (3, encoder.width)


@pytest.mark.parametrize("architecture", ["interbert", "vilbert"])
def test_the_product_of_streams_run_alone_is_the_match_heads_own(architecture):
    model = model_of(architecture)
    ids, cu_text, features, boxes, cu_regions = inputs()
    with torch.inference_mode():
        text_TH = alone.text_rows(model, ids, cu_text, 7)
        image_VH, cu_image = alone.image_rows(model, features, boxes, cu_regions, 5)
        pooled_text = model.interbert.text_pooler(text_TH, cu_text[:-1].long())
        pooled_image = model.interbert.image_pooler(image_VH, cu_image[:-1].long())
        by_head = match_log_odds(model.heads["match"](pooled_text, pooled_image))
        vectors = alone.text_vectors(model, text_TH, cu_text), alone.image_vectors(model, image_VH, cu_image)
    by_product = (vectors[0] * vectors[1]).sum(1) + alone.constant(model)
    assert torch.allclose(by_product, by_head, atol=1e-4)
    assert by_head.std() > 0.01


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"architecture": "imagebert"}, "has seen the image"),
        ({"fusion": "sum"}, "order the images alike"),
        ({"heads": ("tokens",)}, "no match head"),
    ],
)
def test_a_head_without_that_form_is_told_so(override, reason):
    model = model_of(**override)
    with pytest.raises(ValueError, match=reason):
        alone.vectors_from(model)
    assert Encoder(model).vectors_from is None


def test_size_counts_the_heads():
    model = model_of(heads=("match", "search"))
    assert sum(p.numel() for p in model.parameters()) == sum(parameters(model.config).values())


def test_what_a_model_says_does_not_depend_on_neighbours(tmp_path):
    encoder = Encoder(model_of(heads=("match", "search")))
    with open_world(tmp_path, images=20) as corpus:
        images = np.arange(corpus.images)
        small, large = (image_vectors_of(encoder, corpus, images, budget, 10) for budget in (16, 400))
        assert np.allclose(small, large, atol=1e-5)
        one = read_regions(corpus, images[7:8], np.minimum(corpus.region_counts[7:8], 10).astype(np.int64))
        alone_ = encoder.images(one[0], one[1], np.array([len(one[1])])).vectors
        assert np.allclose(alone_[0], small[7], atol=1e-5)
    assert np.allclose(text_vectors_of(encoder, IDS, 4), text_vectors_of(encoder, IDS, 100), atol=1e-5)


@pytest.mark.parametrize("architecture", ["interbert", "vilbert", "imagebert"])
def test_weights_that_are_laid_out_say_the_same(architecture):
    plain, ours = (Encoder(model_of(architecture, ("match", "search"))) for _ in range(2))
    lay_out(ours.model)
    _, _, features, boxes, _ = inputs()
    assert np.allclose(ours.texts(IDS).vectors, plain.texts(IDS).vectors, atol=1e-5)
    odds = []
    for encoder in (ours, plain):
        texts, items = encoder.text_side(IDS), encoder.image_side(features, boxes, REGIONS)
        pairs = np.array([0, 1, 2, 0]), np.array([2, 1, 0, 0])
        odds.append(
            Ranker(encoder).log_odds(split(texts), items.x_SH, REGIONS + items_added(encoder), *pairs)
        )
    assert np.allclose(*odds, atol=1e-4) and odds[0].std() > 0.01


def items_added(encoder: Encoder) -> int:
    return encoder.match.sides.added


def test_parts_hold_what_fits():
    tokens = np.array([5, 5, 5, 30, 1, 1])
    assert [(p.start, p.stop) for p in parts_of(tokens, 12)] == [(0, 2), (2, 3), (3, 4), (4, 6)]
    assert list(parts_of(np.zeros(0, np.int64), 12)) == []


def test_a_saved_model_has_its_vectors_again(tmp_path):
    from interbert.model.loading import load_ours

    config = small_config(WordTokenizer.vocab_size, CLASSES, FEATURE_WIDTH)
    config.prediction_heads = ["match", "search"]
    model = InterBertForPreTraining.from_seed(config, 1).eval()
    model.save_pretrained(tmp_path)
    assert np.array_equal(Encoder(load_ours(tmp_path)).texts(IDS).vectors, Encoder(model).texts(IDS).vectors)
