"""Retrieval by a model that judges pairs: which image belongs to a caption, which caption to an image.

Every image is scored against every caption with the pretraining match head (zero-shot, unless the model was
fine-tuned), nothing is masked, and both directions are ranked, a tile of the matrix at a time; see ranking.py
for what ties count.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from interbert.corpus.tokens import TokenTable
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.counting import Ranking, own_scores
from interbert.tasks.retrieval.found import Found, Highest
from interbert.tasks.retrieval.lineup import Lineup, line_up
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.shortlist import Shortlist, make_shortlist
from interbert.tasks.retrieval.tile_work import Scored, score_tiles


def evaluate_retrieval(
    model: Any,
    corpus: Any,
    tokens: TokenTable,
    *,
    images: np.ndarray | None = None,
    captions: np.ndarray | None = None,
    vague: np.ndarray | None = None,
    folds: int = 1,
    within_folds: bool = False,
    nearest: int | None = None,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
    token_budget: int = 8192,
    max_regions: int | None = None,
    ranks: Ranks | None = None,
    work: Path | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
    title: str = "retrieval",
    told: Found | None = None,
) -> dict[str, Any]:
    """{"text_to_image": {r1, r5, r10, median_rank, mean_rank}, "image_to_text": {…}, "images", "captions"}.

    `images` and `captions` are indices into the corpus (default: all; captions are those of the images).
    `vague` captions are scored along but ranked apart, under "vague". With `folds` the images are split into so
    many runs of neighbours, and the mean of the figures within each is told under "folds"; `within_folds` scores
    no other pairs, and then the figures themselves are those. With `nearest`, only pairs are scored of which one
    is among so many nearest of the other by the `vectors` of all images and captions of the corpus. Scores are kept
    in the folder `work` as they are made, and taken from there. `told` is filled with who is found by each query, of
    the captions that are not vague and of the whole. All ranks call this; all get the same.
    """
    ranks = Ranks.alone() if ranks is None else ranks
    lineup = line_up(corpus, images, captions, vague, folds, within_folds)
    shortlist = None
    if nearest is not None:
        own = vectors[0][lineup.images_I], vectors[1][lineup.captions_C]
        shortlist = ranks.main_only(lambda: make_shortlist(*own, nearest, lineup.parts_by_sort))
    scorer = PairScorer(
        model,
        corpus,
        tokens,
        lineup.images_I,
        lineup.captions_C,
        token_budget=token_budget,
        max_regions=max_regions,
        device=device,
        parts=lineup.parts,
        shortlist=shortlist,
    )
    scored = score_tiles(scorer, ranks, work, progress=progress, title=title)
    return _told(lineup, _figures(scored, ranks, lineup, told), folds, shortlist)


def _told(
    lineup: Lineup, figures: list[dict[str, Any]], folds: int, shortlist: Shortlist | None
) -> dict[str, Any]:
    """figures: of the lineup's rankings, in their order."""
    result, each = {}, len(lineup.splits)
    for place, (sort, among_C) in enumerate(lineup.among.items()):
        own = figures[place * each : (place + 1) * each]
        found = dict(own[0])
        if folds > 1:
            found["folds"] = {"number": folds, **own[-1]}
        if shortlist is not None:
            found["shortlist"] = shortlist.figures(lineup.image_of_C, among_C)
        result.update({sort: found} if sort else found)
    return result


def _figures(scored: Scored, ranks: Ranks, lineup: Lineup, told: Found | None = None) -> list[dict[str, Any]]:
    """Of each ranking. The tiles are gone through twice."""
    image_of_C, images = lineup.image_of_C, len(lineup.images_I)
    own_C = np.full(len(image_of_C), -np.inf, np.float32)
    for tile, scores_BE in scored:
        own_scores(image_of_C, images, tile, scores_BE, own_C)
    own_C = np.max(ranks.gather(own_C), axis=0)
    made = [Ranking(image_of_C, among_C, fold_I, own_C) for among_C, fold_I in lineup.rankings]
    highest = Highest(images, lineup.among[""], told.most) if told else None
    for tile, scores_BE in scored:
        for ranking in made:
            ranking.count(tile, scores_BE)
        if highest:
            highest.add(tile, scores_BE)
    for ranking, counts in zip(made, zip(*ranks.gather([r.counts for r in made]), strict=True), strict=True):
        ranking.counts = [sum(of_ranks) for of_ranks in zip(*counts, strict=True)]
    if told:
        highest.put_into(told, ranks)
        _line_up(told, lineup, made[0])
    return [ranking.figures() for ranking in made]


def _line_up(told: Found, lineup: Lineup, ranking: Ranking) -> None:
    """Who asked, and at which rank it was found."""
    among_C = lineup.among[""]
    told.images_I, told.captions_C = lineup.images_I, lineup.captions_C[among_C]
    told.image_of_C, told.odds_C = lineup.image_of_C[among_C], ranking.own_C[among_C]
    told.rank_C, found_I = ranking.ranks()
    told.rank_I = np.full(len(lineup.images_I), np.nan)
    told.rank_I[np.unique(told.image_of_C)] = found_I
