"""Who is ranked among whom: images, captions of two sorts, and folds that do not meet.

Letters: I images, C captions, those that are ranked and then those that are ranked apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Part = tuple[np.ndarray, np.ndarray]
"""Images and captions that meet."""


@dataclass(frozen=True)
class Lineup:
    images_I: np.ndarray
    captions_C: np.ndarray
    image_of_C: np.ndarray
    """The place of each caption's image within images_I."""
    among: dict[str, np.ndarray]
    """bool [C] of each sort: "", and "vague" where captions are ranked apart."""
    meeting_I: np.ndarray
    """The fold of each image whose pairs are scored: one fold of all, or those within which alone pairs meet."""
    splits: list[np.ndarray]
    """int64 [I] folds: the figures of a sort are those within the first of these, then, told apart, the next."""

    @property
    def parts(self) -> list[Part]:
        """All that meet."""
        return self._parts_among(np.ones(len(self.captions_C), bool))

    @property
    def parts_by_sort(self) -> list[Part]:
        return [part for among_C in self.among.values() for part in self._parts_among(among_C)]

    @property
    def rankings(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(among which captions, within which folds): of each sort, then of each split."""
        return [(among_C, split_I) for among_C in self.among.values() for split_I in self.splits]

    def _parts_among(self, among_C: np.ndarray) -> list[Part]:
        fold_C = self.meeting_I[self.image_of_C]
        return [
            (np.flatnonzero(self.meeting_I == fold), np.flatnonzero(among_C & (fold_C == fold)))
            for fold in np.unique(self.meeting_I)
        ]


def line_up(
    corpus: Any,
    images: np.ndarray | None,
    captions: np.ndarray | None,
    vague: np.ndarray | None,
    folds: int,
    within_folds: bool,
) -> Lineup:
    """As `evaluate_retrieval` is told."""
    images_I = np.arange(corpus.images) if images is None else np.asarray(images, np.int64)
    captions = captions_of(corpus, images_I) if captions is None else np.asarray(captions, np.int64)
    vague = np.zeros(0, np.int64) if vague is None else np.asarray(vague, np.int64)
    if len(captions) == 0:
        raise ValueError(
            "there is no caption to evaluate with: the images that were chosen have none of this kind"
        )
    if folds > len(images_I):
        raise ValueError(f"there are {len(images_I)} images, which cannot be split into {folds} folds")
    everything_C = np.concatenate([captions, vague])
    among = {"": np.arange(len(everything_C)) < len(captions)}
    if len(vague):
        among["vague"] = ~among[""]
    whole_I, fold_I = np.zeros(len(images_I), np.int64), np.arange(len(images_I)) * folds // len(images_I)
    meeting_I = fold_I if within_folds else whole_I
    splits = [meeting_I] if folds == 1 or within_folds else [whole_I, fold_I]
    image_of_C = _rows_of_captions(corpus, images_I, everything_C)
    return Lineup(images_I, everything_C, image_of_C, among, meeting_I, splits)


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
