"""Many short runs of rows, gathered into one buffer: the read that training lives on.

Why `preadv`, run by run, and not a memory map. Measured on two cores at 2048 wide (runs of 10 to 36 rows,
about 94 kB) with the file in the page cache: reads reach 65 to 70 % of a plain copy's speed, a gather from a
memory map some 95 %, both far above what training needs. But mapped pages count as the process's memory,
which must stay flat; a failing disk or a truncated file kills a process that maps it (SIGBUS), where a read
raises an error that names the file; and outside the page cache a map faults page by page. So: positioned
reads into a reused buffer, which release the GIL. As soon as one run is not in the page cache, all that are
left are announced to the kernel before they are read: the disk then gets them at once, which made reading
from it 2.7 to 3.7 times faster.
"""

import os
from collections.abc import Sequence

import numpy as np

from interbert.store.direct_reader import DirectReader, read_into
from interbert.store.store import Store


def read_runs(
    stores: Sequence[Store],
    dataset: str,
    store_P: np.ndarray,
    first_P: np.ndarray,
    count_P: np.ndarray,
    out: np.ndarray,
) -> np.ndarray:
    """Rows first_P[p] : first_P[p] + count_P[p] of store store_P[p], one run after another, into `out`."""
    extent = stores[0].extents[dataset]
    rows = int(count_P.sum())
    if out.dtype != extent.dtype or out.shape[1:] != extent.row_shape or len(out) < rows:
        raise ValueError(
            f"{dataset}: the array given is {out.dtype} {out.shape}; it must be {extent.dtype} of at least "
            f"{(rows, *extent.row_shape)}"
        )
    if not out.flags.c_contiguous:
        raise ValueError(f"{dataset}: the array given must be C-contiguous")
    out = out[:rows]
    if rows == 0:
        return out
    # Neighbours in the file that are neighbours in the buffer too become one read.
    cut_P = (store_P[1:] != store_P[:-1]) | (first_P[1:] != first_P[:-1] + count_P[:-1])
    heads = np.concatenate([[0], np.flatnonzero(cut_P) + 1])
    ends_P = np.cumsum(count_P) * extent.row_bytes
    starts = (ends_P - count_P * extent.row_bytes)[heads]
    stops = np.append(starts[1:], ends_P[-1])
    asked, owner = np.unique(store_P[heads], return_inverse=True)  # of thousands of shards a few are asked
    bases = np.array([stores[number].extents[dataset].offset for number in asked.tolist()])
    readers = [stores[number].reader for number in asked.tolist()]
    places = (bases[owner] + first_P[heads] * extent.row_bytes).tolist()
    owners, starts, stops = owner.tolist(), starts.tolist(), stops.tolist()
    data = out.reshape(-1).view(np.uint8).data
    runs = [
        (readers[owner], place, data[start:stop])
        for owner, place, start, stop in zip(owners, places, starts, stops, strict=True)
    ]
    cached = _read_cached(runs)
    for reader, place, part in runs[cached:]:
        os.posix_fadvise(reader.fd, place, len(part), os.POSIX_FADV_WILLNEED)
    for reader, place, part in runs[cached:]:
        read_into(reader, dataset, place, part)
    return out


def _read_cached(runs: list[tuple[DirectReader, int, memoryview]]) -> int:
    """Read the runs up to the first that is not in the page cache (or cannot be asked that); its number."""
    for number, (reader, place, part) in enumerate(runs):
        try:
            if os.preadv(reader.fd, (part,), place, os.RWF_NOWAIT) != len(part):
                return number
        except OSError:
            return number
    return len(runs)
