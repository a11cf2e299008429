"""What the numbers in a store must be, asked in the same words when it is written and when it is verified."""

import numpy as np

from interbert.store.halves import as_floats

Fault = tuple[int, str]
"""(row, what is wrong there)"""

# A detector's arithmetic may leave a corner a hair outside: this share of the image's side is let pass.
BOX_SLACK = 1e-4
_BLOCK = 1 << 19


def faulty_features(features_RD: np.ndarray) -> Fault | None:
    """(row, what is wrong) of the first feature row that is not finite."""
    # Not finite = all exponent bits set: as whole numbers without a sign the negative ones of those are the largest,
    # with one the positive ones. So many at a time stay in the cache: ten times as fast as np.isfinite on halves.
    bits = features_RD.reshape(-1).view(np.uint16)
    for start in range(0, bits.size, _BLOCK):
        block = bits[start : start + _BLOCK]
        if block.max() >= 0xFC00 or block.view(np.int16).max() >= 0x7C00:
            break
    else:
        return None
    row = int(np.flatnonzero(~np.isfinite(features_RD).all(axis=1))[0])
    column = int(np.flatnonzero(~np.isfinite(features_RD[row]))[0])
    return row, f"feature {column} is {features_RD[row, column]} (NaN or beyond ±65504)"


def faulty_boxes(boxes_R4: np.ndarray, sizes_R2: np.ndarray) -> Fault | None:
    """(row, what is wrong) of the first box that cannot be; sizes_R2: width, height of its image."""
    # Compared so that NaN fails too. Size 0, 0 means unknown: boxes are then shares of 1.
    limit_R2 = np.where(sizes_R2 > 0, sizes_R2, 1).astype(np.float32)
    slack_R2 = limit_R2 * BOX_SLACK
    low_R2, high_R2 = boxes_R4[:, :2], boxes_R4[:, 2:]
    inside_R2 = (low_R2 >= -slack_R2) & (high_R2 <= limit_R2 + slack_R2) & (high_R2 >= low_R2)
    if inside_R2.all():
        return None
    row = int(np.flatnonzero(~inside_R2.all(axis=1))[0])
    box, (width, height) = boxes_R4[row].tolist(), sizes_R2[row].tolist()
    shown = ", ".join(f"{value:g}" for value in box)
    if not np.isfinite(boxes_R4[row]).all():
        return row, f"box ({shown}) is not finite"
    elif not (high_R2[row] >= low_R2[row]).all():
        return row, f"box ({shown}) ends before it begins; the order is x1, y1, x2, y2"
    elif width > 0:
        return row, f"box ({shown}) lies outside its image of {width} x {height} pixels"
    else:
        return (
            row,
            f"box ({shown}) lies outside 0..1: the image's size is unknown (0, 0), so boxes are shares of it",
        )


def faulty_probabilities(probs_RK: np.ndarray) -> Fault | None:
    """(row, what is wrong) of the first class distribution that is none."""
    if probs_RK.size == 0:
        return None
    wide_RK = as_floats(probs_RK)
    sum_R = np.einsum("rk->r", wide_RK)  # in one run over a row: three times as fast as `sum`
    good_R = np.abs(sum_R - 1) <= 0.02
    if probs_RK.view(np.int16).min() < 0:  # a sign somewhere, and be it that of -0
        good_R &= wide_RK.min(axis=1) >= 0
    if not good_R.all():
        row = int(np.flatnonzero(~good_R)[0])
        found = f"sum to {sum_R[row]:.4g}, the smallest is {wide_RK[row].min():.4g}"
        return row, f"class probabilities {found}; they must be a distribution"
    return None


def faulty_labels(labels_R: np.ndarray, confidence_R: np.ndarray, classes: int) -> Fault | None:
    """(row, what is wrong) of the first hard label or confidence that cannot be."""
    good_R = (labels_R >= 0) & (labels_R < classes) & (confidence_R >= 0) & (confidence_R <= 1)
    if not good_R.all():
        row = int(np.flatnonzero(~good_R)[0])
        return row, f"label {labels_R[row]} of {classes} classes with confidence {confidence_R[row]:g}"


def faulty_sizes(sizes_I2: np.ndarray) -> Fault | None:
    """(image, what is wrong) of the first size that cannot be."""
    known_I = (sizes_I2 > 0).all(axis=1) & (sizes_I2 < 1 << 31).all(axis=1) | (sizes_I2 == 0).all(axis=1)
    if not known_I.all():
        image = int(np.flatnonzero(~known_I)[0])
        width, height = sizes_I2[image].tolist()
        return image, f"size {width} x {height}; give both sides in pixels, or 0, 0 where they are unknown"
