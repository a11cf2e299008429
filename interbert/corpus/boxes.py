"""How much boxes overlap. Letters: R regions, B boxes; a box is x1 y1 x2 y2."""

import numpy as np


def overlaps_RB(regions_R4: np.ndarray, boxes_B4: np.ndarray) -> np.ndarray:
    """float64: the shared area of each region with each box, as a share of what the two cover together."""
    regions, boxes = np.asarray(regions_R4, float)[:, None], np.asarray(boxes_B4, float)[None]
    low, high = np.maximum(regions[..., :2], boxes[..., :2]), np.minimum(regions[..., 2:], boxes[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    covered = _areas(regions) + _areas(boxes) - shared
    return np.divide(shared, covered, out=np.zeros_like(shared), where=covered > 0)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
