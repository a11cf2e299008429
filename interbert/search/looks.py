"""What an item looks like, as far as is known: its boxes, what its detector took them for, where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.store.store import Store


@dataclass(frozen=True)
class Look:
    """Of an item of an index."""

    id: str
    title: str
    attributes: Mapping[str, Any]
    size: tuple[int, int]
    """Width and height of the picture; 0 where they are not known."""
    boxes: list[list[float]]
    """x1, y1, x2, y2 of each region that the model sees, as shares of the picture."""
    labels: list[str] | None
    """What the detector takes each region for, where its store says."""
    source: str | None
    """Of the store that the item came from, in the store's words."""


def shares_of(boxes_R4: np.ndarray, size: tuple[int, int]) -> list[list[float]]:
    sides = np.array([size[0] or 1, size[1] or 1] * 2, np.float64)
    return np.clip(boxes_R4 / sides, 0, 1).round(5).tolist()


def labels_of(store: Store, start: int, stop: int) -> list[str] | None:
    """Of regions start to stop of a store that has class evidence and names for its classes."""
    names = store.class_names
    if names is None or store.evidence not in ("class_probs", "labels"):
        return None
    evidence = store.read_rows(store.evidence, start, stop)
    labels = evidence.argmax(1) if store.evidence == "class_probs" else evidence
    return [names[label] for label in labels.tolist()]
