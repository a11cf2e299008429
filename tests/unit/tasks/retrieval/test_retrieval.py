"""Retrieval: scores of whole batches against pair by pair, ranks against one, and what it refuses."""

import numpy as np
import pytest
import torch

from interbert.corpus.corpus import DISTINCTIVE
from interbert.model.shared.match import SharedMatch
from interbert.model.shared.replay import Replayed, tensors_of
from interbert.tasks.retrieval import pairs as pairs_module
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.ranking import retrieval_metrics
from interbert.tasks.retrieval.retrieval import evaluate_retrieval


def matrix(model, corpus, tokens, images, captions, budget=200, max_regions=None) -> np.ndarray:
    return PairScorer(
        model, corpus, tokens, images, captions, token_budget=budget, max_regions=max_regions
    ).matrix()


def score_one_by_one(model, corpus, tokens, images, captions, max_regions) -> np.ndarray:
    """Through the padded interface, a pair at a time."""
    scores = np.zeros((len(images), len(captions)), np.float32)
    for i, image in enumerate(images):
        keep = np.array([min(max_regions, corpus.region_counts[image])])
        features, boxes = corpus.read(np.array([image]), keep)
        width, height = corpus.sizes[image]
        shares = torch.tensor(boxes) / torch.tensor([width, height, width, height])
        area = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
        for c, caption in enumerate(captions):
            with torch.no_grad():
                output = model(
                    input_ids=torch.tensor(tokens.caption(caption), dtype=torch.int64)[None],
                    region_features=torch.from_numpy(features)[None],
                    region_boxes=torch.cat([shares, area[:, None]], dim=1).float()[None],
                    add_global=True,
                )
            scores[i, c] = torch.logit(output.match_probability.double())
    return scores


def test_batches_score_as_single_pairs_do(model, corpus, tokens):
    images, captions = np.array([7, 2, 9, 4]), np.array([6, 27, 12, 21, 8])
    found = matrix(model, corpus, tokens, images, captions, max_regions=9)
    wanted = score_one_by_one(model, corpus, tokens, images, captions, max_regions=9)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def test_evaluation_is_the_metrics_of_the_scores(model, corpus, tokens):
    images = np.arange(corpus.images)
    captions = captions_of(corpus, images, DISTINCTIVE, first_only=True)
    vague = captions_of(corpus, images, 0, first_only=True)
    found = evaluate_retrieval(model, corpus, tokens, captions=captions, vague=vague, token_budget=300)
    for part, chosen in ((found, captions), (found["vague"], vague)):
        scores = matrix(model, corpus, tokens, images, chosen)
        wanted = retrieval_metrics(scores, corpus.caption_image[chosen])
        assert {name: part[name] for name in wanted} == wanted
    assert found["images"] == 12
    assert found["captions"] == len(captions)


def test_a_model_that_knows_the_answer_gets_everything_right(model, corpus, tokens, monkeypatch):
    def know(self, tile, images_P, captions_P):
        image_P = self.images_I[tile.rows_B[images_P]]
        return (corpus.caption_image[self.captions_C[tile.columns_E[captions_P]]] == image_P).astype(
            np.float32
        )

    monkeypatch.setattr(PairScorer, "_score", know)
    found = evaluate_retrieval(model.train(), corpus, tokens)
    for way in ("text_to_image", "image_to_text"):
        assert found[way] == {"r1": 1.0, "r5": 1.0, "r10": 1.0, "median_rank": 1.0, "mean_rank": 1.0}
    assert model.training, "the model is left in the mode it came in"


def test_a_16_bit_model_is_scored_without_rounding_ties(model, corpus, tokens):
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    exact = matrix(model, corpus, tokens, images, captions)
    rough = matrix(model.bfloat16(), corpus, tokens, images, captions)
    assert np.corrcoef(exact.ravel(), rough.ravel())[0, 1] > 0.99
    assert len(np.unique(rough)) > 0.9 * rough.size


def test_filled_up_batches_score_the_same(model, corpus, tokens, monkeypatch):
    images, captions = np.arange(corpus.images), np.arange(9)
    plain = matrix(model, corpus, tokens, images, captions)
    shapes = set()
    run = SharedMatch.run

    def watch(self, pairs):
        at = pairs.layout
        assert at.cu_text.diff().max() <= at.max_text
        shapes.add((at.text_tokens % 32, at.image_tokens % 32, len(at.text_first_P) % 32))
        return run(self, pairs)

    monkeypatch.setattr(SharedMatch, "run", watch)
    monkeypatch.setattr(pairs_module, "compiles_for_each_shape", lambda model: True)
    filled = matrix(model, corpus, tokens, images, captions)
    assert shapes == {(0, 0, 0)}
    np.testing.assert_allclose(filled, plain, rtol=1e-4, atol=1e-4)


def test_fixed_shapes_score_the_same_and_are_few(model, corpus, tokens, monkeypatch):
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    plain = matrix(model, corpus, tokens, images, captions, budget=400)
    shapes = []
    run = SharedMatch.run

    def watch(self, pairs):
        shapes.append(tuple(x.shape for x in tensors_of(pairs)))
        return run(self, pairs)

    monkeypatch.setattr(SharedMatch, "run", watch)
    scorer = PairScorer(model, corpus, tokens, images, captions, token_budget=400, replayed=True)
    np.testing.assert_allclose(scorer.matrix(), plain, rtol=1e-4, atol=1e-4)
    assert len(set(shapes)) < len(shapes), "shapes are met again"
    monkeypatch.setattr(Replayed.__init__, "__defaults__", (1,))
    scorer = PairScorer(model, corpus, tokens, images, captions, token_budget=400, replayed=True)
    np.testing.assert_allclose(scorer.matrix(), plain, rtol=1e-4, atol=1e-4)


def test_captions_are_chosen_by_kind_and_image(corpus):
    images = np.array([3, 5])
    captions = captions_of(corpus, images)
    assert sorted(set(corpus.caption_image[captions])) == [3, 5]
    assert len(captions) == (np.isin(corpus.caption_image[: corpus.captions], images)).sum()
    first = captions_of(corpus, np.arange(corpus.images), kind=0, first_only=True)
    assert len(set(corpus.caption_image[first])) == len(first)
    assert (corpus.caption_kind[first] == 0).all()


def test_folds_are_evaluated_as_if_each_were_alone(model, corpus, tokens):
    images = np.arange(corpus.images)
    whole = evaluate_retrieval(model, corpus, tokens)
    found = evaluate_retrieval(model, corpus, tokens, folds=3)
    assert {name: found[name] for name in whole} == whole
    alone = [evaluate_retrieval(model, corpus, tokens, images=part) for part in np.split(images, 3)]
    for way in ("text_to_image", "image_to_text"):
        for figure, value in found["folds"][way].items():
            assert value == pytest.approx(np.mean([part[way][figure] for part in alone]))
    assert found["folds"]["number"] == 3
    within = evaluate_retrieval(model, corpus, tokens, folds=3, within_folds=True)
    assert within["text_to_image"] == within["folds"]["text_to_image"]
    for way in ("text_to_image", "image_to_text"):
        assert within[way] == pytest.approx(found["folds"][way])
    with pytest.raises(ValueError, match=r"12 images.* 13 folds"):
        evaluate_retrieval(model, corpus, tokens, folds=13)


def test_within_folds_no_other_pair_is_scored(model, corpus, tokens, monkeypatch):
    scored = []
    score = PairScorer.score
    monkeypatch.setattr(PairScorer, "score", lambda self, tile: scored.append(tile) or score(self, tile))
    evaluate_retrieval(model, corpus, tokens, folds=4, within_folds=True)
    fold = np.arange(corpus.images) * 4 // corpus.images
    pairs = sum(len(tile.rows_B) * len(tile.columns_E) for tile in scored)
    assert pairs == sum(
        (fold == f).sum() * (fold[corpus.caption_image[: corpus.captions]] == f).sum() for f in range(4)
    )


def test_a_shortlist_as_the_matrix_with_minus_infinity_outside(model, corpus, tokens):
    random = np.random.default_rng(2)
    vectors = random.normal(size=(corpus.images, 4)), random.normal(size=(corpus.captions, 4))
    images, captions = np.arange(corpus.images), captions_of(corpus, np.arange(corpus.images))
    found = evaluate_retrieval(model, corpus, tokens, nearest=3, vectors=vectors)
    similar = vectors[0] @ vectors[1].T
    inside = similar >= np.sort(similar, axis=0)[-3]
    inside |= similar >= np.sort(similar, axis=1)[:, -3:][:, :1]
    scores = matrix(model, corpus, tokens, images, captions)
    wanted = retrieval_metrics(np.where(inside, scores, -np.inf), corpus.caption_image[captions])
    assert {name: found[name] for name in wanted} == wanted
    assert (
        wanted["text_to_image"] != retrieval_metrics(scores, corpus.caption_image[captions])["text_to_image"]
    )
    true = inside[corpus.caption_image[captions], captions]
    assert found["shortlist"]["true_pairs_inside"] == pytest.approx(true.mean())
    assert found["shortlist"]["pairs"] == inside.sum()
    everything = evaluate_retrieval(model, corpus, tokens, nearest=corpus.captions, vectors=vectors)
    assert everything["shortlist"]["share_of_pairs"] == everything["shortlist"]["true_pairs_inside"] == 1


def test_what_cannot_be_ranked_is_refused(model, corpus, tokens):
    with pytest.raises(ValueError, match="not among the candidates"):
        evaluate_retrieval(model, corpus, tokens, images=[0, 1], captions=[0, corpus.captions - 1])
    with pytest.raises(ValueError, match="falsified"):
        evaluate_retrieval(model, corpus, tokens, captions=[corpus.captions])
    with pytest.raises(ValueError, match="listed twice"):
        evaluate_retrieval(model, corpus, tokens, images=[1, 1])
    with pytest.raises(ValueError, match="no caption"):
        evaluate_retrieval(model, corpus, tokens, captions=[])
    with pytest.raises(ValueError, match=r"token budget is 12, but a pair may need \d+"):
        evaluate_retrieval(model, corpus, tokens, token_budget=12)


def test_scores_that_are_no_numbers_are_refused(model, corpus, tokens):
    with torch.no_grad():
        model.heads["match"].classifier.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="no number"):
        evaluate_retrieval(model, corpus, tokens)
