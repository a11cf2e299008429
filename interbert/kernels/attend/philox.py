"""The fused kernels' dropout mask, drawn by numpy: what the reference drops, they drop."""

import numpy as np
import torch
from torch import Tensor

ROUNDS = 7
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def dropout_bytes(rng: Tensor, unit: int, length: int) -> Tensor:
    """uint8 [length, length]: a probability is dropped when its byte is below the threshold.

    A block of 16 rows and 32 columns takes 32 draws of 16 bytes: draw 4 r + c serves rows r and r + 8, and columns
    2 c and 2 c + 1 of each eight.
    """
    seed, offset = (int(x) % 2**64 for x in rng.tolist())
    row, column = np.indices((length, length))
    place = (column // 32) << 16 | (row // 16) << 5 | (row % 8) << 2 | column % 8 // 2
    words = philox(seed, offset, unit, place)
    word = np.choose(column % 32 // 8, words)
    return torch.from_numpy(
        (word >> (8 * (row % 16 // 8 * 2 + column % 2)).astype(np.uint64)).astype(np.uint8)
    )


def philox(seed: int, offset: int, unit: int | np.ndarray, place: np.ndarray) -> list[np.ndarray]:
    """Philox4x32: four words for each place."""
    first = np.full_like(place, unit, dtype=np.uint64)
    counter = [first, place.astype(np.uint64), first * 0 + np.uint64(offset & 0xFFFFFFFF)]
    counter.append(first * 0 + np.uint64(offset >> 32))
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(ROUNDS):
        x, y = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        counter = [
            (y >> _HALF) ^ counter[1] ^ np.uint64(key[0]),
            y & _LOW,
            (x >> _HALF) ^ counter[3] ^ np.uint64(key[1]),
            x & _LOW,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter
