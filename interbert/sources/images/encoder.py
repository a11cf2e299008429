"""What computes regions of images, whatever it is: what it is given, what it gives, and what is asked of it.

Letters: N regions kept, D width, K classes (the last one: no object).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from interbert.sources.images.decode import Picture


@dataclass(frozen=True)
class Choice:
    """Which of a detector's queries become regions, and how fine a patch encoder's grid is."""

    confidence: float = 0.2
    fewest: int = 10
    most: int = 36
    grid: int | None = None
    """Cells a side; patches are averaged within them. None: 6 of a Hugging Face encoder, all of people's own."""
    batch: int = 8
    """Images at a time."""


@dataclass(frozen=True)
class Regions:
    boxes_N4: np.ndarray
    """In pixels of the image."""
    features_ND: np.ndarray
    class_probs_NK: np.ndarray | None


@dataclass(frozen=True)
class Prepared:
    """An image as the model takes it."""

    size: tuple[int, int]
    """Width and height of the image itself, which boxes are told in."""
    inputs: dict[str, Tensor]
    """Each with a first dimension of 1."""


class Vision(Protocol):
    choice: Choice

    @property
    def class_names(self) -> list[str] | None: ...

    @property
    def features_of(self) -> str | None:
        """What tells its features from those of another."""

    def wanted(self, width: int, height: int) -> tuple[int, int] | None:
        """The size that an image is brought to; None: not known. Called in threads."""

    def prepare(self, picture: Picture) -> Prepared:
        """Called in threads."""

    def regions(self, images: list[Prepared]) -> list[Regions]: ...
