"""What a model says of examples: a ragged row of numbers each, put together from the parts of all ranks."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outputs:
    """Of N examples, in their order.

    classify: a probability of each class. score: one value. choose, match, point: a probability of each choice, each
    pair, each region.
    """

    flat: np.ndarray
    """float32, one example's numbers after another's."""
    offsets: np.ndarray
    """int64 [N + 1]"""
    damaged_N: np.ndarray
    """bool: an image of it could not be had, so that its numbers mean nothing."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, example: int) -> np.ndarray:
        return self.flat[self.offsets[example] : self.offsets[example + 1]]

    def table_NK(self) -> np.ndarray:
        """The same as a table, where every example has equally many numbers."""
        widths = np.unique(np.diff(self.offsets))
        assert len(widths) <= 1, f"rows of {widths.tolist()} numbers are no table"
        return self.flat.reshape(len(self), int(widths[0]) if len(widths) else 0)


@dataclass(frozen=True)
class Part:
    """What one rank, or one micro-batch, adds."""

    examples_G: np.ndarray
    """int64 number of the example; -1 is a filler, which only kept the ranks in step."""
    counts_G: np.ndarray
    """How many numbers each has."""
    flat: np.ndarray
    damaged_G: np.ndarray
    """bool: an image of it could not be had."""


def assemble(parts: Iterable[Part], examples: int) -> Outputs:
    """The outputs of all examples from parts in any order: each is there once, or this is a fault of ours."""
    parts = list(parts)
    number_G = _joined([part.examples_G for part in parts], np.int64)
    counts_G = _joined([part.counts_G for part in parts], np.int64)
    flat = _joined([part.flat for part in parts], np.float32)
    damaged_G = _joined([part.damaged_G for part in parts], bool)
    fit = len(number_G) == len(counts_G) == len(damaged_G) and counts_G.sum() == len(flat)
    assert fit, "parts that do not fit together"
    times_N = np.bincount(number_G[number_G >= 0], minlength=examples)
    assert len(times_N) == examples, f"example {len(times_N) - 1} of {examples}"
    wrong = np.flatnonzero(times_N != 1)
    assert not len(wrong), f"example {wrong[0]} was gone through {times_N[wrong[0]]} times"

    order = np.argsort(number_G, kind="stable")[int((number_G < 0).sum()) :]
    offsets, damaged_N = np.concatenate([[0], np.cumsum(counts_G[order])]), damaged_G[order]
    if (
        len(counts_G) and (counts_G == counts_G[0]).all()
    ):  # many classes: a place for each number would take room
        return Outputs(flat.reshape(len(counts_G), -1)[order].ravel(), offsets, damaged_N)
    starts_G = np.cumsum(counts_G) - counts_G
    rows = np.arange(offsets[-1]) + np.repeat(starts_G[order] - offsets[:-1], counts_G[order])
    return Outputs(flat[rows], offsets, damaged_N)


def refuse_no_numbers(outputs: Outputs, ids: list[str]) -> None:
    """A figure of outputs that are NaN or infinite would look like one of a bad model."""
    bad = np.flatnonzero(~np.isfinite(outputs.flat))
    if len(bad):
        example = int(np.searchsorted(outputs.offsets, bad[0], side="right")) - 1
        raise ValueError(
            f"example {ids[example]!r}: the model's output is {outputs.flat[bad[0]]}, as are {len(bad) - 1} more: "
            "its weights or its features hold no number; train with a lower train.learning_rate, or in bf16 or fp32"
        )


def _joined(arrays: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *(np.asarray(array, kind) for array in arrays)])
