"""What an instruction means to the clock, beyond its name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

OFF = "off"


@dataclass(slots=True, frozen=True)
class Effect:
    kind: str
    address: Any = None
    size: int = 0
    mask: np.ndarray | None = None
    value: Any = None
    write: Callable | None = None


class Unknown(Exception):
    """The path depends on something that the model does not know."""
