"""Retrieval by a model that judges pairs: which image belongs to a caption, which caption to an image.

Every image is scored against every caption with the pretraining match head (zero-shot, unless the model was
fine-tuned), nothing is masked, and both directions are ranked; see ranking.py for what ties count.
"""

from typing import Any

import numpy as np
import torch

from interbert.corpus.tokens import TokenTable
from interbert.tasks.pairs import Gather, PairScorer
from interbert.tasks.ranking import retrieval_metrics

DISTINCTIVE = 1
"""`caption_kind` of a caption that is known to be true of its image alone."""


def evaluate_retrieval(
    model: Any,
    corpus: Any,
    tokens: TokenTable,
    *,
    images: np.ndarray | None = None,
    captions: np.ndarray | None = None,
    vague: np.ndarray | None = None,
    token_budget: int = 8192,
    max_regions: int | None = None,
    rank: int = 0,
    world_size: int = 1,
    gather: Gather | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
    title: str = "retrieval",
) -> dict[str, Any]:
    """{"text_to_image": {r1, r5, r10, median_rank, mean_rank}, "image_to_text": {…}, "images", "captions"}.

    `images` and `captions` are indices into the corpus (default: all; captions are those of the images).
    `vague` captions are scored along but ranked apart, under "vague". All ranks call this; all get the same.
    """
    images = np.arange(corpus.images) if images is None else np.asarray(images, np.int64)
    captions = captions_of(corpus, images) if captions is None else np.asarray(captions, np.int64)
    vague = np.zeros(0, np.int64) if vague is None else np.asarray(vague, np.int64)
    everything = np.concatenate([captions, vague])
    image_of = _rows_of_captions(corpus, images, everything)
    if len(captions) == 0:
        raise ValueError(
            "there is no caption to evaluate with: the images that were chosen have none of this kind"
        )
    scorer = PairScorer(
        model,
        corpus,
        tokens,
        images,
        everything,
        token_budget=token_budget,
        max_regions=max_regions,
        device=device,
    )
    scores_IC = scorer.scores(rank, world_size, gather or (lambda value: [value]), progress, title)
    _must_be_numbers(scores_IC, corpus, images, everything)
    main = len(captions)
    result = retrieval_metrics(scores_IC[:, :main], image_of[:main])
    if len(vague):
        result["vague"] = retrieval_metrics(scores_IC[:, main:], image_of[main:])
    return result


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


def _must_be_numbers(scores_IC: np.ndarray, corpus: Any, images: np.ndarray, captions: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(scores_IC))
    if len(bad):
        image, caption = int(images[bad[0, 0]]), int(captions[bad[0, 1]])
        raise ValueError(
            f"the model gives {len(bad):,} of {scores_IC.size:,} pairs a score that is no number, the first "
            f"one image {corpus.image_id(image)!r} with {corpus.caption_text(caption)!r}: are the model's "
            "weights and the data's features all finite?"
        )
