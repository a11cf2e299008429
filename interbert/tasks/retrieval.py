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
from interbert.tasks.counting import Ranking, own_scores
from interbert.tasks.pairs import PairScorer
from interbert.tasks.shortlist import make_shortlist
from interbert.tasks.tile_work import Scored, score_tiles


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
) -> dict[str, Any]:
    """{"text_to_image": {r1, r5, r10, median_rank, mean_rank}, "image_to_text": {…}, "images", "captions"}.

    `images` and `captions` are indices into the corpus (default: all; captions are those of the images).
    `vague` captions are scored along but ranked apart, under "vague". With `folds` the images are split into so
    many runs of neighbours, and the mean of the figures within each is told under "folds"; `within_folds` scores
    no other pairs, and then the figures themselves are those. With `nearest`, only pairs are scored of which one
    is among so many nearest of the other by the `vectors` of all images and captions of the corpus. Scores are kept
    in the folder `work` as they are made, and taken from there. All ranks call this; all get the same.
    """
    images = np.arange(corpus.images) if images is None else np.asarray(images, np.int64)
    captions = captions_of(corpus, images) if captions is None else np.asarray(captions, np.int64)
    vague = np.zeros(0, np.int64) if vague is None else np.asarray(vague, np.int64)
    ranks = Ranks.alone() if ranks is None else ranks
    everything = np.concatenate([captions, vague])
    image_of = _rows_of_captions(corpus, images, everything)
    if len(captions) == 0:
        raise ValueError(
            "there is no caption to evaluate with: the images that were chosen have none of this kind"
        )
    if folds > len(images):
        raise ValueError(f"there are {len(images)} images, which cannot be split into {folds} folds")
    whole_I, fold_I = np.zeros(len(images), np.int64), np.arange(len(images)) * folds // len(images)
    among = {"": np.arange(len(everything)) < len(captions)}
    if len(vague):
        among["vague"] = ~among[""]
    meeting_I = fold_I if within_folds else whole_I
    shortlist = None
    if nearest is not None:
        own = vectors[0][images], vectors[1][everything]
        parts = [part for among_C in among.values() for part in _parts(image_of, among_C, meeting_I)]
        shortlist = ranks.main_only(lambda: make_shortlist(*own, nearest, parts))
    scorer = PairScorer(
        model,
        corpus,
        tokens,
        images,
        everything,
        token_budget=token_budget,
        max_regions=max_regions,
        device=device,
        parts=_parts(image_of, np.ones(len(everything), bool), meeting_I),
        shortlist=shortlist,
    )
    scored = score_tiles(scorer, ranks, work, progress=progress, title=title)
    splits = [meeting_I] if folds == 1 or within_folds else [whole_I, fold_I]
    figures = iter(
        _figures(scored, ranks, image_of, [(a, split) for a in among.values() for split in splits])
    )
    result = {}
    for kind, among_C in among.items():
        of_kind = [next(figures) for _ in splits]
        found = dict(of_kind[0])
        if folds > 1:
            found["folds"] = {"number": folds, **of_kind[-1]}
        if shortlist is not None:
            found["shortlist"] = shortlist.figures(image_of, among_C)
        result.update({kind: found} if kind else found)
    return result


def matrix_of(
    model: Any,
    corpus: Any,
    tokens: TokenTable,
    *,
    images: int = 100,
    token_budget: int = 8192,
    max_regions: int | None = None,
    ranks: Ranks | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Figures of a fixed small matrix: the first images that have captions, with all of these.

    For validating while training: the same pairs each time, the model left in the mode it came in. Its weights
    must be whole on each rank. All ranks call this.
    """
    with_captions = np.unique(np.asarray(corpus.caption_image)[: corpus.captions])[:images]
    return evaluate_retrieval(
        model,
        corpus,
        tokens,
        images=with_captions,
        token_budget=token_budget,
        max_regions=max_regions,
        ranks=ranks,
        device=device,
    )


def captions_of(
    corpus: Any, images: np.ndarray, kind: int | None = None, first_only: bool = False
) -> np.ndarray:
    """True captions of these images, of one kind if asked, and of each image only the first if asked."""
    image_of = np.asarray(corpus.caption_image)[: corpus.captions]
    wanted = np.isin(image_of, images)
    if kind is not None:
        wanted &= np.asarray(corpus.caption_kind)[: corpus.captions] == kind
    captions = np.flatnonzero(wanted)
    if first_only:
        _, first = np.unique(image_of[captions], return_index=True)
        captions = captions[np.sort(first)]
    return captions


def _rows_of_captions(corpus: Any, images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """For each caption the place of its image within `images`."""
    if len(np.unique(images)) != len(images):
        raise ValueError("an image is listed twice; each can be a candidate only once")
    if len(captions) and captions.max() >= corpus.captions:
        raise ValueError(f"caption {captions.max()} is a falsified one: no image belongs to it")
    image_of = np.asarray(corpus.caption_image)[captions]
    place_of = np.full(corpus.images, -1, dtype=np.int64)
    place_of[images] = np.arange(len(images))
    rows = place_of[image_of]
    if (rows < 0).any():
        caption = int(captions[np.flatnonzero(rows < 0)[0]])
        raise ValueError(
            f"the image of caption {caption} ({corpus.caption_text(caption)!r}) is not among the candidates"
        )
    return rows


def _parts(
    image_of_C: np.ndarray, among_C: np.ndarray, fold_I: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each fold its images and its captions among these."""
    return [
        (np.flatnonzero(fold_I == fold), np.flatnonzero(among_C & (fold_I[image_of_C] == fold)))
        for fold in np.unique(fold_I)
    ]


def _figures(
    scored: Scored, ranks: Ranks, image_of_C: np.ndarray, rankings: list[tuple[np.ndarray, np.ndarray]]
) -> list[dict[str, Any]]:
    """Of each ranking: among which captions, and within which folds. The tiles are gone through twice."""
    own_C = np.full(len(image_of_C), -np.inf, np.float32)
    for tile, scores_BE in scored:
        own_scores(image_of_C, len(rankings[0][1]), tile, scores_BE, own_C)
    own_C = np.max(ranks.gather(own_C), axis=0)
    made = [Ranking(image_of_C, among_C, fold_I, own_C) for among_C, fold_I in rankings]
    for tile, scores_BE in scored:
        for ranking in made:
            ranking.count(tile, scores_BE)
    for ranking, counts in zip(made, zip(*ranks.gather([r.counts for r in made]), strict=True), strict=True):
        ranking.counts = [sum(of_ranks) for of_ranks in zip(*counts, strict=True)]
    return [ranking.figures() for ranking in made]
