"""What is the same under another number: captions that say the same, images that have the same id.

A caption is true of an image if it is one of its own, or of an image with that id in another data set, or says the
same as one of those.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash

from interbert.corpus.tokens import TokenTable

_CAPTIONS = 100_000
"""At a time: what is drawn for their tokens has to fit into memory."""


_PAIRS = 1 << 18


class Truth:
    """Says of any image and caption whether the pair is true. Letters: N pairs."""

    def __init__(self, corpus: Any, texts: np.ndarray) -> None:
        """texts: a number for each caption and swapped caption, the same where they say the same."""
        self._group_of_image, self._image_of_caption = corpus.image_group, corpus.caption_image
        self._captions = corpus.captions
        shared = _repeated(texts)
        self._texts = len(shared)
        # Nearly all texts come once; only the others have to be looked up.
        self._text = _places_of(shared, texts) if self._texts else None
        if self._text is not None:
            own = np.flatnonzero(self._text[: corpus.captions] >= 0)
            self._pairs = np.unique(self._key(self._groups(own), self._text[own]))

    def holds(self, image_N: np.ndarray, caption_N: np.ndarray) -> np.ndarray:
        """bool [N]. Swapped captions are judged by what they say."""
        true_N = np.empty(len(caption_N), bool)
        for start in range(0, len(caption_N), _PAIRS):
            part = slice(start, start + _PAIRS)
            true_N[part] = self._hold(image_N[part], caption_N[part])
        return true_N

    def _hold(self, image_N: np.ndarray, caption_N: np.ndarray) -> np.ndarray:
        group_N = self._group_of_image[image_N]
        true_N = (group_N == self._groups(caption_N)) & (caption_N < self._captions)
        if self._text is not None:
            text_N = self._text[caption_N]
            asked = np.flatnonzero(text_N >= 0)
            true_N[asked] |= places_in(self._pairs, self._key(group_N[asked], text_N[asked]))[1]
        return true_N

    def _groups(self, caption_N: np.ndarray) -> np.ndarray:
        return self._group_of_image[self._image_of_caption[caption_N]]

    def _key(self, group: np.ndarray, text: np.ndarray) -> np.ndarray:
        return group.astype(np.int64) * self._texts + text


def texts_of_tokens(tokens: TokenTable, at_a_time: int = _CAPTIONS) -> np.ndarray:
    """uint64 [captions + swapped]: the same for captions that a model reads alike.

    A sum of random numbers for each token and place, modulo 2^64: two of ten million captions that differ come out
    alike once in some hundred thousand data sets, and then cost a mismatch.
    """
    rng = np.random.Generator(np.random.Philox(key=1))
    count = len(tokens.offsets) - 1
    of_token = rng.integers(0, 2**64, int(tokens.ids_flat.max(initial=0)) + 1, dtype=np.uint64)
    of_place = rng.integers(0, 2**64, int(tokens.lengths.max(initial=0)), dtype=np.uint64) | np.uint64(1)
    texts = np.empty(count, dtype=np.uint64)
    for start in range(0, count, at_a_time):
        offsets = tokens.offsets[start : start + at_a_time + 1]
        first, lengths = offsets[:-1] - offsets[0], tokens.lengths[start : start + at_a_time]
        values = of_token[tokens.ids_flat[offsets[0] : offsets[-1]]]
        values *= of_place[np.arange(len(values)) - np.repeat(first, lengths)]
        texts[start : start + at_a_time] = np.add.reduceat(values, first)
    return texts


def numbers_of(names: Iterable[str]) -> np.ndarray:
    """int32: the same number for the same name, counted from 0."""
    hashes = np.fromiter((xxhash.xxh3_64_intdigest(name.encode()) for name in names), dtype=np.uint64)
    return np.unique(hashes, return_inverse=True)[1].astype(np.int32)


def plain_text(text: str) -> str:
    """Without what writers of the same sentence differ in: case and white space."""
    return " ".join(text.casefold().split())


def places_in(rising: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int32: where each value would be among `rising`, and bool: whether it is there."""
    places = np.searchsorted(rising, values).astype(np.int32)
    if len(rising) == 0:
        return places, np.zeros(len(values), dtype=bool)
    return places, rising[np.minimum(places, len(rising) - 1)] == values


def _places_of(rising: np.ndarray, values: np.ndarray) -> np.ndarray:
    """int32: where each value is among `rising`, -1 where it is not."""
    found = np.empty(len(values), np.int32)
    for start in range(0, len(values), _PAIRS):
        part = slice(start, start + _PAIRS)
        places, known = places_in(rising, values[part])
        found[part] = np.where(known, places, -1)
    return found


def _repeated(values: np.ndarray) -> np.ndarray:
    """Those that come more than once, each once, rising."""
    rising = np.sort(values)
    again = rising[1:][rising[1:] == rising[:-1]]
    return again[np.concatenate([[True], again[1:] != again[:-1]])] if len(again) else again
