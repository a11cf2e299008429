"""The checksums of a store: xxh3_64 of an image's rows, of a text, of the index."""

from collections.abc import Iterable

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


def index_checksum(arrays: dict[str, np.ndarray], ids: Iterable[bytes]) -> int:
    """xxh3_64 of what says which rows and texts belong to whom: the INDEX datasets, then the ids."""
    digest = xxhash.xxh3_64()
    for name in INDEX:
        if name in arrays:
            digest.update(arrays[name].tobytes())
    digest.update(b"\0".join(ids))
    return digest.intdigest()
