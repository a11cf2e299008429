"""float32 to float16 and back, the same numbers as numpy's.

By torch where it is asked for: it has the processor's instructions for it, and takes 1.5 s to import. Else by whole
numbers, and back by a table: numpy's own conversion goes by a number at a time, and is several times slower still for
zeros among others and for the tiny shares that class distributions are full of.
"""

import threading
from functools import cache
from types import ModuleType

import numpy as np

_BLOCK = 1 << 15
"""Numbers at a time: with what is reckoned beside them they stay in the cache; torch starts no threads for them."""
_SMALLEST_NORMAL = 0x38800000
"""2 ** -14: below it float16 has fewer digits, the nearer to 0 the fewer."""
_BEYOND = 0x477FF000
"""The first float32 that float16 rounds to infinity; NaN and infinity are above it too."""
WORTH = 1 << 31
"""Bytes of float32 that torch is worth its import for."""

_torch: ModuleType | None = None


def hasten() -> None:
    """From here on by torch."""
    global _torch
    import torch

    _torch = torch


def as_halves(values: np.ndarray) -> np.ndarray:
    """The same as values.astype("<f2"): nearest, the even one of two that are as near; C order."""
    if values.dtype != np.dtype("<f4"):
        return np.ascontiguousarray(values, "<f2")
    return floats_to_halves(values, np.empty(values.shape, "<f2"))


def floats_to_halves(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The same of float32 into `out`, which is of the same shape and in C order."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if _torch is not None and flat.size:
        return _by_torch(_torch, flat, out)
    halves = out.reshape(-1).view("<u2")
    scratch = _scratch()
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        _convert(block, halves[start : start + _BLOCK], *(array[: block.size] for array in scratch))
    return out


def as_floats(halves: np.ndarray) -> np.ndarray:
    """The same as halves.astype(np.float32)."""
    if halves.dtype != np.dtype("<f2"):
        return halves.astype(np.float32)
    if _torch is not None and halves.size:
        flat = np.ascontiguousarray(halves).reshape(-1)
        return _by_torch(_torch, flat, np.empty(halves.shape, "<f4"))
    return _floats().take(np.ascontiguousarray(halves).view("<u2"))


def _by_torch(torch: ModuleType, flat: np.ndarray, out: np.ndarray) -> np.ndarray:
    # By this way, for the other complains of memory that is not to be written to.
    source, target = torch.from_dlpack(flat), torch.from_dlpack(out.reshape(-1))
    # All of them by one call: between two calls another thread may take the interpreter, and keep it for 5 ms.
    torch._foreach_copy_(target.split(_BLOCK), source.split(_BLOCK))
    return out


@cache
def _floats() -> np.ndarray:
    return np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)


_OF_THREAD = threading.local()


def _scratch() -> list[np.ndarray]:
    """The thread's own, for new memory costs as much as the reckoning."""
    if not hasattr(_OF_THREAD, "scratch"):
        _OF_THREAD.scratch = [np.empty(_BLOCK, "<u4") for _ in range(3)]
    return _OF_THREAD.scratch


def _convert(
    block: np.ndarray, out: np.ndarray, size: np.ndarray, normal: np.ndarray, tiny: np.ndarray
) -> None:
    bits = block.view("<u4")
    np.bitwise_and(bits, np.uint32(0x7FFFFFFF), out=size)
    if size.max() >= _BEYOND:
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = block.astype("<f2").view("<u2")
        return
    # Half a last digit is added, less one where the digit is even, so that what is dropped then is a rounding.
    np.right_shift(size, np.uint32(13), out=normal)
    np.bitwise_and(normal, np.uint32(1), out=normal)
    np.add(normal, size, out=normal)
    np.add(normal, np.uint32(0xC8000FFF), out=normal)
    np.right_shift(normal, np.uint32(13), out=normal)
    # 1/2 has its last digit where the smallest float16 has its only one: adding it rounds to that.
    np.add(size.view("<f4"), np.float32(0.5), out=tiny.view("<f4"))
    np.subtract(tiny, np.uint32(0x3F000000), out=tiny)
    # Chosen by a mask of bits, for the processor guesses no branch that zeros among numbers make.
    is_tiny = size.view("<i4")
    np.subtract(is_tiny, np.int32(_SMALLEST_NORMAL), out=is_tiny)
    np.right_shift(is_tiny, np.int32(31), out=is_tiny)
    np.bitwise_xor(tiny, normal, out=tiny)
    np.bitwise_and(tiny, size, out=tiny)
    np.bitwise_xor(normal, tiny, out=normal)
    np.right_shift(bits, np.uint32(16), out=size)
    np.bitwise_and(size, np.uint32(0x8000), out=size)
    np.bitwise_or(normal, size, out=normal)
    out[:] = normal
