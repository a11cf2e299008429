"""What is no negative of what: captions that say what is true of the same image, images of the same id or caption.

Letters: N rows asked for, M columns to choose from, E pairs of a row and a column.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from interbert.corpus.sameness import numbers_of, places_in, plain_text


@dataclass(frozen=True)
class Kin:
    """Each row and each column has marks, and those that share one are kin."""

    owner_N: np.ndarray
    """Whose marks a row has."""
    starts: np.ndarray
    marks: np.ndarray
    """Owner o has marks[starts[o]:starts[o + 1]], rising."""
    column_F: np.ndarray
    mark_F: np.ndarray
    """The columns, each with all its marks, in the order of the marks."""

    def of_rows(self, rows_N: np.ndarray | slice) -> "Kin":
        return replace(self, owner_N=self.owner_N[rows_N])

    def among(self, pool_M: np.ndarray) -> "Kin":
        """With these columns only, rising, counted anew."""
        place_F, there_F = places_in(pool_M, self.column_F)
        return replace(self, column_F=place_F[there_F], mark_F=self.mark_F[there_F])

    def blank(self, similarity_NM: np.ndarray) -> None:
        """Zero wherever a row and a column are kin."""
        row, place = self._marks_of(self.owner_N)
        first = np.searchsorted(self.mark_F, self.marks[place], side="left")
        count = np.searchsorted(self.mark_F, self.marks[place], side="right") - first
        which, found = _runs(first, count)
        similarity_NM[row[which], self.column_F[found]] = 0

    def hold(self, rows_N: np.ndarray, row_E: np.ndarray, column_E: np.ndarray) -> np.ndarray:
        """bool [E]: whether rows_N[row_E] and column_E are kin, where each column has one mark."""
        row, place = self._marks_of(self.owner_N[rows_N])
        marks = int(self.mark_F[-1]) + 1
        known = row * marks + self.marks[place]
        return places_in(known, row_E.astype(np.int64) * marks + self._mark_of_column[column_E])[1]

    def save(self, folder: Path) -> None:
        for name in self.__dataclass_fields__:
            np.save(folder / f"kin_{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> "Kin":
        """Mapped, so that processes on one machine share its memory."""
        return cls(*(np.load(folder / f"kin_{name}.npy", mmap_mode="r") for name in cls.__dataclass_fields__))

    def _marks_of(self, owner_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = self.starts[owner_N]
        return _runs(first, self.starts[owner_N + 1] - first)

    @cached_property
    def _mark_of_column(self) -> np.ndarray:
        mark = np.empty_like(self.mark_F)
        mark[self.column_F] = self.mark_F
        return mark


def kin_of_captions(owner_C: np.ndarray, text_C: np.ndarray) -> Kin:
    """A caption is kin to all that say what any caption of its owner says. Both are numbers from 0."""
    starts, marks = _grouped(owner_C, text_C)
    order = np.argsort(text_C, kind="stable").astype(np.int32)
    return Kin(owner_C, starts, marks, order, text_C[order])


def captions_kin(corpus: Any) -> Kin:
    return kin_of_captions(_owners(corpus), _texts(corpus))


def images_kin(corpus: Any) -> Kin:
    """Images of the same id, and those of which something is told in the same words."""
    image_group, text_C = corpus.image_group, _texts(corpus)
    groups, texts = int(image_group.max()) + 1, int(text_C.max(initial=-1)) + 1
    themselves = np.arange(groups)
    starts, marks = _grouped(
        np.concatenate([_owners(corpus), themselves]), np.concatenate([text_C, texts + themselves])
    )
    first = starts[image_group]
    image_F, place_F = _runs(first, starts[image_group + 1] - first)
    order = np.argsort(marks[place_F], kind="stable")
    return Kin(image_group, starts, marks, image_F[order], marks[place_F][order])


def _owners(corpus: Any) -> np.ndarray:
    return corpus.image_group[corpus.caption_image[: corpus.captions]]


def _texts(corpus: Any) -> np.ndarray:
    return numbers_of(map(plain_text, islice(corpus.texts(), corpus.captions)))


def _grouped(owner: np.ndarray, mark: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The marks of each owner, each once, rising; and where they start."""
    wide = int(mark.max(initial=0)) + 1
    pairs = np.unique(owner.astype(np.int64) * wide + mark)
    counts = np.bincount(pairs // wide, minlength=int(owner.max(initial=-1)) + 1)
    return np.concatenate([[0], np.cumsum(counts)]), pairs % wide


def _runs(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(i, place) for each place of the run of count[i] places from first[i] on."""
    which = np.repeat(np.arange(len(first)), count)
    return which, np.arange(len(which)) + np.repeat(first - (np.cumsum(count) - count), count)
