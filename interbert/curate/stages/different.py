"""Which images of a collection are one file, which look alike, and which of them stay.

Some bytes are held for each image that passed on its page, and no object.

Letters: I images on pages that passed (lines), S different images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interbert.curate.engine.parts import Part
from interbert.curate.images.index import Index
from interbert.curate.images.near import near_pairs
from interbert.curate.settings import ImageRules
from interbert.curate.stages.judge import IMAGES

RULES = ("", "pages", "never", "duplicate")
"""By the numbers in `rule_S`; the first: it stays."""
_PAGES, _NEVER, _DUPLICATE = 1, 2, 3


@dataclass
class Images:
    """Different images, by their bytes, in the order in which they come first."""

    of_line_I: np.ndarray
    """Number of its image."""
    row_S: np.ndarray
    """In the index."""
    pixels_S: np.ndarray
    pages_S: np.ndarray
    phash_S: np.ndarray
    rule_S: np.ndarray
    into_S: np.ndarray
    """Which image the texts of each belong to: a larger one, or itself."""

    def dropped_by(self, rule: int) -> np.ndarray:
        return np.flatnonzero(self.rule_S == rule)

    def why(self, number: int) -> str:
        if self.rule_S[number] == _PAGES:
            return f"on {self.pages_S[number]} pages"
        if self.rule_S[number] == _NEVER:
            return "one of --never looks the same"
        bits = int(np.bitwise_count(self.phash_S[number] ^ self.phash_S[self.into_S[number]]))
        return f"{bits} of 64 bits differ from a larger one's, whose texts it joins"


def different_images(units: Sequence[Part], index: Index) -> Images:
    tables = [unit.array(IMAGES) for unit in units]
    row_I = np.concatenate([np.empty(0, np.int64), *(table["row"] for table in tables)])
    high, low = (index.facts[name][row_I] for name in ("same_high", "same_low"))
    order = np.lexsort((low, high))  # stable: within an image as its lines come
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    del high, low
    first = order[new]
    # Numbered as they come first, not by their hashes.
    seen = np.argsort(first)
    number = np.empty(len(first), np.int64)
    number[seen] = np.arange(len(first))
    sorted_I = number[np.cumsum(new) - 1]
    of_line_I = np.empty_like(order)
    of_line_I[order] = sorted_I
    page_I = np.concatenate(
        [np.empty(0, np.int64), *(unit * (1 << 40) + table["page"] for unit, table in enumerate(tables))]
    )[order]
    new[1:] |= np.diff(page_I) != 0
    row_S = row_I[first[seen]]
    return Images(
        of_line_I,
        row_S,
        index.facts["width"][row_S].astype(np.int64) * index.facts["height"][row_S],
        np.bincount(sorted_I[new], minlength=len(row_S)),
        index.facts["phash"][row_S],
        np.zeros(len(row_S), np.uint8),
        np.arange(len(row_S)),
    )


def decide(images: Images, never: np.ndarray, rules: ImageRules) -> None:
    """never: hashes of images that must not come."""
    count = len(images.row_S)
    images.rule_S[images.pages_S > rules.max_pages] = _PAGES
    together = np.concatenate([images.phash_S, never.astype(np.uint64)])
    pairs = near_pairs(together, rules.near_bits)
    # By hashes, not by numbers: of equals only the first is in a pair with others, and it may be an image.
    ends_P2 = together[pairs]
    near_never = np.isin(images.phash_S, ends_P2[np.isin(ends_P2, never).any(axis=1)])
    images.rule_S[near_never & (images.rule_S == 0)] = _NEVER
    _join_near(images, pairs[pairs[:, 1] < count])


def _join_near(images: Images, pairs: np.ndarray) -> None:
    """The largest first, each takes in those near to it that nothing larger has taken. Equals count as one hash."""
    involved = np.unique(pairs)
    hashes, group = np.unique(images.phash_S[involved], return_inverse=True)
    members = _Lists(group, involved, len(hashes))
    ends = np.searchsorted(hashes, images.phash_S[pairs])
    ends = ends[ends[:, 0] != ends[:, 1]]
    near = _Lists(ends.ravel(), ends[:, ::-1].ravel(), len(hashes))
    taken = images.rule_S != 0
    for place in np.lexsort((involved, -images.pixels_S[involved])).tolist():
        number = int(involved[place])
        if taken[number]:
            continue
        taken[number] = True
        own = int(group[place])
        for other in (own, *near.of(own).tolist()):
            found = members.of(other)
            found = found[~taken[found]]
            taken[found] = True
            images.rule_S[found] = _DUPLICATE
            images.into_S[found] = number


class _Lists:
    """Many lists of numbers in two arrays."""

    def __init__(self, owners: np.ndarray, values: np.ndarray, count: int) -> None:
        order = np.argsort(owners, kind="stable")
        self._values = values[order]
        self._ends = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))])

    def of(self, owner: int) -> np.ndarray:
        return self._values[self._ends[owner] : self._ends[owner + 1]]
