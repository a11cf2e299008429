"""What a writer always does and never says: the type behind base64, class probabilities without background.

Found out from the first rows, once for all of a file, so that no row is read in another way than its neighbour. A
type other than float32, which all known writers use, is taken only where float32 cannot be and the other can.
"""

from dataclasses import dataclass

import numpy as np

from interbert.sources.features.fields.numbers import FLOATS
from interbert.sources.record import ImportFault

Raw = bytes | memoryview
NEARLY_ONE = 0.05
ROWS = 8
"""So many first rows are looked at."""
_SMALLEST, _LARGEST = 2.0**-40, 65504.0
_TAME = 512.0
"""Hardly a feature is larger, but every ninth half of a float32 is, read as float16."""
_STRAY = 0.005
"""A share of the numbers that may lie outside of these bounds."""
_EXACT = 0.005
"""What rounding leaves of a distribution's sum."""
WITH_BACKGROUND_FIRST = (1601, 401)
"""Numbers of classes, and of attributes, of Visual Genome's detectors: number 0 is none of them."""


@dataclass(frozen=True)
class Habits:
    features: str = "<f4"
    probs: str = "<f4"
    background: bool = False
    """Class probabilities lack the background: what a row's sum lacks to 1 becomes a class before the others."""
    notes: tuple[str, ...] = ()
    boxes: bool = False
    """An image whose boxes are missing is no good, for others have theirs."""
    shares: bool = False
    """Boxes are shares of the image, though its size is there."""
    counts: bool = True
    """The number of regions is to be believed; some write how many they asked for."""


def habits_of(
    features: list[tuple[int, Raw | np.ndarray]], probs: list[tuple[int, Raw | np.ndarray]], width: int | None
) -> Habits:
    """From the first rows' features and class probabilities, each with the number of its regions: bytes of unknown
    type, or arrays, which tell their own. width: of a feature, where the user has said it."""
    texts = [(rows, value) for rows, value in features if not isinstance(value, np.ndarray)]
    features_kind, notes = "<f4", []
    if texts and width:
        features_kind = FLOATS.get(len(texts[0][1]) // max(texts[0][0] * width, 1), features_kind)
    elif texts:
        features_kind, notes = _features_kind([value for _, value in texts])
    probs_kind, background = _probs_habits(probs, features_kind)
    if background is not None:
        notes.append(
            f"class probabilities: {background} classes whose sums are below 1: they are without background; what "
            f"a sum lacks to 1 becomes a class before the others, which makes {background + 1}"
        )
    return Habits(features_kind, probs_kind, background is not None, tuple(notes))


def _features_kind(rows: list[Raw]) -> tuple[str, list[str]]:
    sane = [kind for kind in FLOATS.values() if _like_features(rows, kind)]
    if "<f4" in sane and not _were_narrower(b"".join(rows)):
        if _like_features(rows, "<f2", _TAME) and not _were_halves(b"".join(rows)):
            raise ImportFault(
                "features: their bytes make sense as float32 and as float16 of twice the width; say the width: "
                "--feature-width D"
            )
        return "<f4", []
    others = [kind for kind in sane if kind != "<f4"]
    if len(others) == 1:
        return others[0], [f"features: {np.dtype(others[0])}: as float32 their bytes make no sense"]
    return "<f4", []  # rows that are no good as anything: each is told of when it is read


def _like_features(rows: list[Raw], kind: str, largest: float = _LARGEST) -> bool:
    """Whether the rows, but for a few that are broken, make sense as numbers of this type."""
    arrays = [np.frombuffer(raw, kind) for raw in rows if len(raw) % np.dtype(kind).itemsize == 0]
    arrays = [values for values in arrays if np.isfinite(values).all()]
    if 2 * len(arrays) <= len(rows):
        return False
    values = np.concatenate(arrays)
    sizes = np.abs(values[values != 0].astype(np.float64))
    return bool(np.count_nonzero((sizes < _SMALLEST) | (sizes > largest)) <= _STRAY * len(values))


def _were_narrower(raw: Raw) -> bool:
    """Whether float64 was made of float16: then the lower words are empty, and the upper ones pass for float32."""
    words = np.frombuffer(raw[: len(raw) // 8 * 8], "<u4")
    return not words[::2].any() and bool(words[1::2].any())


def _were_halves(raw: Raw) -> bool:
    """Whether float32 was made of float16 or bfloat16: then the lower bits are empty."""
    return not (np.frombuffer(raw, "<u4") & 0x1FFF).any()


def _probs_habits(probs: list[tuple[int, Raw | np.ndarray]], features_kind: str) -> tuple[str, int | None]:
    """(type, number of classes where they lack the background)"""
    lacking = None
    for kind in dict.fromkeys((features_kind, "<f4", "<f2", "<f8")):
        arrays = [array for rows, value in probs if (array := _as(value, rows, kind)) is not None]
        if 2 * len(arrays) <= len(probs):
            continue
        off = np.concatenate([array.sum(axis=1) for array in arrays]) - 1
        whole = (np.abs(off) <= _EXACT).mean() >= 0.5 or (np.abs(off) <= NEARLY_ONE).all()
        if whole:
            return kind, arrays[0].shape[1] if _some_lack_it(arrays) else None
        if lacking is None and (off > _EXACT - 1).all() and (off <= NEARLY_ONE).all():
            lacking = kind, arrays[0].shape[1]
    return lacking or (features_kind, None)


def _some_lack_it(arrays: list[np.ndarray]) -> bool:
    """Whether sums that are below 1, of a detector that was sure of most regions, are a background that lacks: it is
    so in most images, or in any where the number of classes is that without it."""
    off, classes = [array.sum(axis=1) - 1 for array in arrays], arrays[0].shape[1]
    if classes in WITH_BACKGROUND_FIRST or max(one.max() for one in off) > NEARLY_ONE:
        return False
    # A row of zeros only fills up.
    lacking = sum(bool(((one < -NEARLY_ONE) & (one > _EXACT - 1)).any()) for one in off)
    return lacking > (0 if classes + 1 in WITH_BACKGROUND_FIRST else len(off) // 2)


def _as(value: Raw | np.ndarray, rows: int, kind: str) -> np.ndarray | None:
    """float64 [rows, classes] where the value can be such numbers, none of them negative."""
    if not isinstance(value, np.ndarray):
        if rows < 1 or len(value) % (rows * np.dtype(kind).itemsize):
            return None
        value = np.frombuffer(value, kind).reshape(rows, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = value.astype(np.float64)
        return wide if np.isfinite(wide).all() and wide.min() >= -1e-6 and wide.max() < 2 else None
