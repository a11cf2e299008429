"""Rows of our own in the layout of the KDD Cup 2020's products and queries."""

import base64
from pathlib import Path

import numpy as np

HEADER = [
    "product_id",
    "image_h",
    "image_w",
    "num_boxes",
    "boxes",
    "features",
    "class_labels",
    "query",
    "query_id",
]
BOXES = np.array([[5, 10, 50, 60], [0, 0, 90, 99]], np.float32)
"""y1 x1 y2 x2"""
LABELS = np.array([3, 12], np.int64)


def write_kdd(path: Path, rows: list[tuple[int, str, int]], width: int) -> None:
    """(product, query, query id), with two regions each."""
    lines = ["\t".join(HEADER)]
    for product, query, query_id in rows:
        features = np.full((2, width), product % 7, np.float32)
        cells = [product, 100, 120, 2, b64(BOXES), b64(features), b64(LABELS), query, query_id]
        lines.append("\t".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")


def b64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
