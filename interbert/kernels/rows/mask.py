"""The row kernels' dropout mask, drawn by numpy: what the plain twin drops, they drop."""

import numpy as np
import torch
from torch import Tensor

from interbert.kernels.attend.philox import philox
from interbert.kernels.dropout import threshold

LANES, EACH = 32, 8


def row_bytes(rng: Tensor, stream: int, rows: int, width: int) -> Tensor:
    """uint8 [rows, width]: an element is dropped when its byte is below the threshold.

    A draw serves eight elements of a chunk, and eight of the chunk 32 further on.
    """
    seed, offset = (int(x) % 2**64 for x in rng.tolist())
    row, column = np.indices((rows, width), dtype=np.uint64)
    chunk, element = column // np.uint64(EACH), column % np.uint64(EACH)
    number, lane = chunk // np.uint64(LANES), chunk % np.uint64(LANES)
    place = np.uint64(2**31 | stream << 16) | (number // np.uint64(2) * np.uint64(LANES) + lane)
    words = philox(seed, offset, row, place)
    word = np.choose((number % np.uint64(2) * np.uint64(2) + element // np.uint64(4)).astype(np.int64), words)
    return torch.from_numpy((word >> (np.uint64(8) * (element % np.uint64(4)))).astype(np.uint8))


def row_mask(rng: Tensor, stream: int, like: Tensor, p: float) -> Tensor:
    """Factors for the elements of `like`: 0 where one is dropped, what makes up for it elsewhere."""
    below = threshold(p)
    kept = row_bytes(rng.cpu(), stream, *like.shape) >= below
    return kept.to(like.device, like.dtype) * (256 / (256 - below))
