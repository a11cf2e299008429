"""Values of registers as the model knows them: the same number in all lanes, a number each, or unknown.

Unknown are data: what a kernel computes with. Known are lengths, addresses and counters: what decides where it goes.
Numbers are 32 bits without sign, in Python integers or in int64 arrays [32].
"""

from typing import TypeAlias

import numpy as np

Value: TypeAlias = "int | np.ndarray | None"
Truth: TypeAlias = "bool | np.ndarray | None"

FULL = 0xFFFFFFFF
TOP = 0x80000000
LANES = np.arange(32, dtype=np.int64)


def signed(x):
    return (x ^ TOP) - TOP


def wide(low, high):
    """64 bits, with sign, as addresses are small enough for that."""
    return low | signed(high) << 32


def uniform(x: Value) -> Value:
    """An array whose lanes agree becomes a number."""
    if isinstance(x, np.ndarray) and (x == x[0]).all():
        return x[0].item()
    return x


def lanes(x) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else np.full(32, x)


def float_bits(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


def of_bits(x: int) -> float:
    return float(np.uint32(x & FULL).view(np.float32))


def merged(old, new, mask: np.ndarray):
    """`new` where `mask` is set. Over an unknown it stands for all lanes: the others had nothing to be asked for."""
    if old is None or new is None:
        return new
    return uniform(np.where(mask, new, old))


_known: dict[bytes, int] = {}


def wavefronts(address: Value, size: int, mask: np.ndarray | None = None) -> int:
    """Passes through the banks of shared memory that an access of `size` bytes a lane takes."""
    if address is None:  # taken as free of conflicts
        return max(size // 4, 1)
    if not isinstance(address, np.ndarray):
        return 1
    if mask is not None and not mask.all():
        address = np.where(mask, address, address[mask][0] if mask.any() else 0)
    relative = address - (address[0] & ~0x3FF)
    key = relative.tobytes() + bytes([size])
    if key not in _known:
        _known[key] = _count(relative, size)
    return _known[key]


def _count(address: np.ndarray, size: int) -> int:
    """Lanes go together as long as each has its 128 bytes' share: all at 4 bytes, eight at 16."""
    together = 32 * 4 // max(size, 4)
    passes = 0
    for first in range(0, 32, together):
        words = np.unique(address[first : first + together] // max(size, 4))
        passes += int(np.bincount(words % together).max())
    return passes
