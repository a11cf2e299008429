"""The checksums of a store: xxh3_64 of an image's rows, of a text, of the index."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xxhash

from interbert.store.format import INDEX


def row_checksums(rows: list[np.ndarray], counts_I: np.ndarray) -> list[int]:
    """xxh3_64 of each image's bytes: its rows of the first array, then of the second, and so on."""
    flat = [(values.reshape(-1).view(np.uint8).data, values.nbytes // max(len(values), 1)) for values in rows]
    digests, start = [], 0
    for count in counts_I.tolist():
        digest = xxhash.xxh3_64()
        for data, row_bytes in flat:
            digest.update(data[start * row_bytes : (start + count) * row_bytes])
        digests.append(digest.intdigest())
        start += count
    return digests


def index_checksum(blocks: Callable[[str], Iterable[Any] | None], ids: Iterable[bytes]) -> int:
    """xxh3_64 of what says which rows and texts belong to whom: the INDEX datasets, then the ids.

    blocks: of a dataset's bytes, or None where it is not there. ids: many at a time, joined by NUL.
    """
    digest, separator = xxhash.xxh3_64(), b""
    for name in INDEX:
        for block in blocks(name) or ():
            digest.update(block)
    for block in ids:
        digest.update(separator + block)
        separator = b"\0"
    return digest.intdigest()
