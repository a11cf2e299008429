"""What is hidden from the model and asked of it: words and regions, for a whole micro-batch at once.

Words are WordPiece tokens here, or whole words of several, if it is known where these begin. The recipes:

    msm_paper      each word is an anchor with p = 0.10; it and the 0-2 words after it are masked
    msm_released   one span a caption: start uniform, length uniform in 1..n, cut at the caption's end
    mlm            each word with p = 0.15
                   (of masked words 80 % become [MASK], 10 % a random word, 10 % stay, drawn for each; of a whole
                   word each token becomes a random one of its own)
    mrm_paper      each region is an anchor with p = 0.15; regions with IoU > 0.4 to one are zeroed with it
    mrm_released   the same with p = 0.10 and IoU >= 0.4
    moc            each region with p = 0.15; of these 90 % are zeroed and 10 % stay

Nothing drawn is legal: a micro-batch may have no masked word or region at all, and the arrays are then empty.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_ANCHOR = {"mrm_paper": 0.15, "mrm_released": 0.10, "moc": 0.15}


@dataclass(frozen=True)
class Vocabulary:
    """What masking knows of a tokenizer."""

    mask_id: int
    words: np.ndarray
    """int32: every id that is not special."""

    @classmethod
    def of(cls, tokenizer: Any) -> "Vocabulary":
        words = np.setdiff1d(np.arange(tokenizer.vocab_size), list(tokenizer.special_ids))
        return cls(int(tokenizer.mask_id), words.astype(np.int32))


@dataclass(frozen=True)
class TextMask:
    input_ids_T: np.ndarray
    rows_M: np.ndarray
    """Rows of T to be predicted, ascending."""
    targets_M: np.ndarray


@dataclass(frozen=True)
class RegionMask:
    zeroed_R: np.ndarray
    """bool."""
    rows_N: np.ndarray
    """Rows of R to be predicted, ascending."""


def mask_text(
    recipe: str,
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    ids_T: np.ndarray,
    cu_text: np.ndarray,
    masked_P: np.ndarray,
    counted_P: np.ndarray,
    capacity: int,
    word_T: np.ndarray | None = None,
) -> TextMask:
    """Mask words of the pairs `masked_P`; those of `counted_P` are predicted, at most `capacity` tokens of them.

    What is drawn beyond the capacity is left as it was. word_T: numbers of the words from 0, where a word may be
    several tokens.
    """
    lengths = np.diff(cu_text)
    pair_T = np.repeat(np.arange(len(lengths)), lengths)
    if word_T is None:
        chosen = _choose_words(recipe, rng, cu_text, pair_T) & masked_P[pair_T]
        rows, counted = _within_capacity(chosen, counted_P[pair_T], capacity)
        fate = rng.random(len(ids_T))[rows]
    else:
        first_W = np.flatnonzero(np.diff(word_T, prepend=-1))
        cu_words = np.searchsorted(first_W, cu_text)
        chosen_W = _choose_words(recipe, rng, cu_words, pair_T[first_W])
        chosen = chosen_W[word_T] & masked_P[pair_T]
        rows, counted = _within_capacity(chosen, counted_P[pair_T], capacity, word_T)
        fate = rng.random(len(first_W))[word_T[rows]]

    random_words = vocabulary.words[rng.integers(0, len(vocabulary.words), len(ids_T))[rows]]
    input_ids = ids_T.copy()
    input_ids[rows] = np.where(
        fate < 0.8, vocabulary.mask_id, np.where(fate < 0.9, random_words, ids_T[rows])
    )
    return TextMask(input_ids, rows[counted], ids_T[rows[counted]])


def mask_regions(
    recipe: str,
    rng: np.random.Generator,
    boxes_R4: np.ndarray,
    cu_regions: np.ndarray,
    masked_P: np.ndarray,
    counted_P: np.ndarray,
    capacity: int,
) -> RegionMask:
    """Zero regions of the pairs `masked_P`; those of `counted_P` are predicted, at most `capacity` of them.

    What is drawn beyond the capacity is left as it was.
    """
    counts = np.diff(cu_regions)
    pair_R = np.repeat(np.arange(len(counts)), counts)
    chosen = rng.random(len(pair_R)) < _ANCHOR[recipe]
    chosen &= masked_P[pair_R]
    if recipe != "moc":
        chosen = with_overlapping(chosen, boxes_R4, cu_regions, pair_R, inclusive=recipe == "mrm_released")
    rows, counted = _within_capacity(chosen, counted_P[pair_R], capacity)

    zeroed = np.zeros(len(pair_R), dtype=bool)
    zeroed[rows] = True
    if recipe == "moc":
        zeroed &= rng.random(len(pair_R)) < 0.9
    return RegionMask(zeroed, rows[counted])


def with_overlapping(
    anchors_R: np.ndarray, boxes_R4: np.ndarray, cu_regions: np.ndarray, pair_R: np.ndarray, inclusive: bool
) -> np.ndarray:
    """bool [R]: the anchors, and regions of the same image whose IoU with one is > 0.4 (inclusive: >=).

    Only anchors are compared, each with the regions of its own image: one flat list of comparisons.
    """
    anchors = np.flatnonzero(anchors_R)
    first = cu_regions[pair_R[anchors]].astype(np.int64)
    count = cu_regions[pair_R[anchors] + 1] - first
    ends = np.cumsum(count)
    left = np.repeat(anchors, count)
    right = np.arange(len(left)) + np.repeat(first - (ends - count), count)

    # float64: a threshold on float32 sums would depend on the size of the image
    boxes = boxes_R4.astype(np.float64)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = np.maximum(boxes[left, :2], boxes[right, :2])
    sides = np.minimum(boxes[left, 2:], boxes[right, 2:])
    sides -= low
    np.maximum(sides, 0, out=sides)
    shared = sides[:, 0] * sides[:, 1]
    limit = 0.4 * (area[left] + area[right] - shared)
    near = (shared >= limit) & (shared > 0) if inclusive else shared > limit
    result = anchors_R.copy()
    result[right[near]] = True
    return result


def _choose_words(
    recipe: str, rng: np.random.Generator, cu_text: np.ndarray, pair_T: np.ndarray
) -> np.ndarray:
    tokens = len(pair_T)
    is_word = np.ones(tokens, dtype=bool)
    is_word[cu_text[:-1]] = False
    is_word[cu_text[1:] - 1] = False
    if recipe == "mlm":
        return (rng.random(tokens) < 0.15) & is_word
    if recipe == "msm_paper":
        anchor = (rng.random(tokens) < 0.10) & is_word
        more = rng.integers(0, 3, tokens)
        chosen = anchor.copy()
        # Two steps on from a caption's last word is at most the next caption's [CLS], never a word of it.
        chosen[1:] |= (anchor & (more >= 1))[:-1]
        chosen[2:] |= (anchor & (more >= 2))[:-2]
        return chosen & is_word
    assert recipe == "msm_released", recipe
    words_P = np.diff(cu_text) - 2
    start_P = (rng.random(len(words_P)) * words_P).astype(np.int64)
    length_P = (rng.random(len(words_P)) * words_P).astype(np.int64) + 1
    word_T = np.arange(tokens) - cu_text[pair_T] - 1
    start_T = start_P[pair_T]
    return (word_T >= start_T) & (word_T < start_T + length_P[pair_T]) & is_word


def _within_capacity(
    chosen: np.ndarray, counted: np.ndarray, capacity: int, word_T: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The chosen rows without the counted ones past the capacity, and which of them are counted. Whole words are kept
    or not as a whole."""
    rows = np.flatnonzero(chosen)
    counted = counted[rows]
    kept = ~counted | (np.cumsum(counted) <= capacity)
    if word_T is not None and not kept.all():
        kept &= ~np.isin(word_T[rows], word_T[rows[~kept]])
    return rows[kept], counted[kept]
