"""Regions out of a body: numbers that are as many as they say, in boxes that lie in their picture."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from interbert.inference.regions import ImageRegions
from interbert.serve.shapes import Numbers, RegionsBody

LONGEST_SIDE = 1_000_000
SHARES = (0, 0)
"""A size that is not known: boxes are shares of 1."""
TOLERANCE = 1e-3
"""Of a side, by which a detector's boxes reach over it."""


def regions_of(sent: RegionsBody, who: str) -> ImageRegions:
    boxes_R4 = _boxes(sent.boxes, who)
    features_RD = _features(sent.features, sent.dtype, len(boxes_R4), who)
    width, height = sent.size
    if (width, height) != SHARES and not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise ValueError(
            f"{who}, size: {width} × {height} is no picture's; send its width and height in pixels, or [0, 0] "
            "where boxes are shares of 1"
        )
    _must_lie_in(boxes_R4, width or 1, height or 1, who)
    return ImageRegions(features_RD, boxes_R4, (width, height), sent.features_of)


def _boxes(rows: list[list[float]], who: str) -> np.ndarray:
    for number, row in enumerate(rows):
        if len(row) != 4:
            raise ValueError(f"{who}, boxes, row {number}: {len(row)} numbers; a box is x1, y1, x2, y2")
    return np.array(rows, np.float64).reshape(-1, 4)


def _features(sent: Numbers, dtype: str, regions: int, who: str) -> np.ndarray:
    if not isinstance(sent, str):
        lengths = {len(row) for row in sent}
        if len(sent) != regions or len(lengths) > 1:
            raise ValueError(
                f"{who}: {regions} boxes, and features of {len(sent)} rows with {sorted(lengths)[:5]} numbers; send "
                "a row for each box, all of one length"
            )
        return _halves(np.array(sent, np.float64).reshape(regions, -1), who)
    try:
        raw = base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"{who}, features: that is no base64; send the bytes of {dtype} numbers so"
        ) from None
    row = regions * np.dtype(dtype).itemsize
    if not row or not raw or len(raw) % row:
        raise ValueError(
            f"{who}, features: {len(raw):,} bytes are no {regions} rows of {dtype}; send a row for each box, and say "
            "dtype where it is not float16"
        )
    return _halves(np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(regions, -1), who)


def _halves(features_RD: np.ndarray, who: str) -> np.ndarray:
    """float16, as stores hold them."""
    with np.errstate(over="ignore"):
        halves_RD = features_RD.astype(np.float16)
    if not np.isfinite(halves_RD).all():
        row = int(np.flatnonzero(~np.isfinite(halves_RD).all(1))[0])
        raise ValueError(f"{who}, features, row {row}: not a finite number in float16; compute them anew")
    return halves_RD


def _must_lie_in(boxes_R4: np.ndarray, width: int, height: int, who: str) -> None:
    slack = TOLERANCE * max(width, height)
    x1, y1, x2, y2 = boxes_R4.T
    right_R = (-slack <= x1) & (x1 <= x2) & (x2 <= width + slack)
    right_R &= (-slack <= y1) & (y1 <= y2) & (y2 <= height + slack)
    if not right_R.all():
        row = int(np.flatnonzero(~right_R)[0])
        raise ValueError(
            f"{who}, boxes, row {row}: {boxes_R4[row].tolist()} does not lie in {width} × {height}; boxes are "
            "x1, y1, x2, y2 in pixels, and size is [width, height]"
        )
