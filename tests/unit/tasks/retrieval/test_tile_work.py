"""Scoring by tiles: the same on any number of ranks, and taken up again where it ended."""

import itertools

import numpy as np
import pytest
import torch
from thread_ranks import Meeting

from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.retrieval import evaluate_retrieval
from interbert.tasks.retrieval.tile_work import score_tiles


def scorer(model, corpus, tokens) -> PairScorer:
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    return PairScorer(model, corpus, tokens, images, captions, token_budget=120)


def whole(scorer: PairScorer, parts) -> np.ndarray:
    scores = np.full((len(scorer.images_I), len(scorer.captions_C)), np.nan, np.float32)
    for scored in parts:
        for tile, found in scored:
            assert np.isnan(scores[np.ix_(tile.rows_B, tile.columns_E)]).all(), "a tile was scored twice"
            scores[np.ix_(tile.rows_B, tile.columns_E)] = found
    return scores


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("on_disk", [False, True])
def test_any_number_of_ranks_gives_the_same_bits(model, corpus, tokens, tmp_path, world_size, on_disk):
    one = scorer(model, corpus, tokens)
    assert len(one.tiles) > 5
    work = tmp_path if on_disk else None
    parts = Meeting(world_size).run(lambda ranks: score_tiles(scorer(model, corpus, tokens), ranks, work))
    np.testing.assert_array_equal(whole(one, parts), one.matrix())


def test_figures_are_the_same_on_every_rank(model, corpus, tokens):
    alone = evaluate_retrieval(model, corpus, tokens, token_budget=120)
    for found in Meeting(3).run(
        lambda ranks: evaluate_retrieval(model, corpus, tokens, token_budget=120, ranks=ranks)
    ):
        assert found == alone


def test_a_killed_evaluation_goes_on_where_it_was(model, corpus, tokens, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    score, scored = PairScorer.score, []

    def dies(self, tile):
        if len(scored) == 4:
            raise Killed
        scored.append(tile)
        return score(self, tile)

    monkeypatch.setattr(PairScorer, "score", dies)
    with pytest.raises(Killed):
        evaluate_retrieval(model, corpus, tokens, token_budget=120, work=tmp_path)
    files = sorted(tmp_path.glob("*/*.npy"))
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:-5])

    done = []
    monkeypatch.setattr(PairScorer, "score", lambda self, tile: done.append(tile) or score(self, tile))
    found = evaluate_retrieval(model, corpus, tokens, token_budget=120, work=tmp_path)
    wanted = len(scorer(model, corpus, tokens).tiles)
    assert len(done) == wanted - 3, "three tiles were whole, the fourth was torn"
    done.clear()
    assert evaluate_retrieval(model, corpus, tokens, token_budget=120, work=tmp_path) == found
    assert not done
    monkeypatch.setattr(PairScorer, "score", score)
    assert evaluate_retrieval(model, corpus, tokens, token_budget=120) == found


def test_scores_of_another_model_or_budget_are_not_taken(model, corpus, tokens):
    identity = scorer(model, corpus, tokens).identity()
    assert scorer(model, corpus, tokens).identity() == identity
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    others = [
        PairScorer(model, corpus, tokens, images, captions, token_budget=121),
        PairScorer(model, corpus, tokens, images, captions, token_budget=120, max_regions=5),
        PairScorer(model, corpus, tokens, images[::-1].copy(), captions, token_budget=120),
        PairScorer(model, corpus, tokens, images, captions[1:], token_budget=120),
    ]
    with torch.no_grad():
        model.interbert.stages[0][0].norm.bias[3] += 1e-6
    others.append(scorer(model, corpus, tokens))
    assert len({identity, *(other.identity() for other in others)}) == 6


def test_an_error_on_one_rank_is_raised_on_all(model, corpus, tokens, monkeypatch):
    score = PairScorer.score
    turn = itertools.count()

    def fails(self, tile):
        if next(turn) == 2:
            raise ValueError("no number")
        return score(self, tile)

    monkeypatch.setattr(PairScorer, "score", fails)
    found = Meeting(2).run(
        lambda ranks: evaluate_retrieval(model, corpus, tokens, ranks=ranks, token_budget=120)
    )
    assert [str(error) for error in found] == ["no number"] * 2
