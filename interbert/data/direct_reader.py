"""Reading rows of a store by offset, without HDF5: no lock, no shared position, the GIL released."""

import os
from pathlib import Path

import numpy as np

from interbert.data.store_format import Extent, StoreError


class DirectReader:
    """Rows of contiguous datasets by positioned reads. Safe from any number of threads, and after a fork."""

    def __init__(self, path: Path, extents: dict[str, Extent]):
        self.path = path
        self.extents = extents
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Training jumps about: what the kernel would read ahead of its own accord is not what comes next.
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)

    def read_rows(self, dataset: str, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        """Rows start:stop of a dataset, in the first rows of `out` where it is given."""
        out = rows_buffer(self.path, self.extents, dataset, start, stop, out)
        extent = self.extents[dataset]
        if out.nbytes:
            read_into(
                self.fd,
                out.reshape(-1).view(np.uint8).data,
                extent.offset + start * extent.row_bytes,
                self.path,
            )
        return out

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def read_into(fd: int, buffer: memoryview, position: int, path: Path) -> None:
    """Fill `buffer` from the file; a read may be short (a signal, the 2 GiB limit), so go on."""
    done = os.preadv(fd, [buffer], position)
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], position + done)
        if count == 0:
            raise StoreError(
                f"{path}: the file ends at byte {position + done}, {len(buffer) - done} bytes too early: it "
                "was cut short after it was opened; copy it again"
            )
        done += count


def rows_buffer(
    path: Path, extents: dict[str, Extent], dataset: str, start: int, stop: int, out: np.ndarray | None
) -> np.ndarray:
    """The part of `out` that rows start:stop go to (or a new array), checked against the dataset."""
    extent = extents.get(dataset)
    if extent is None:
        raise StoreError(f"{path}: has no dataset {dataset!r}; it holds {', '.join(extents)}")
    if not 0 <= start <= stop <= extent.shape[0]:
        raise StoreError(
            f"{path}: dataset {dataset!r}: rows {start}:{stop} asked for, it has {extent.shape[0]}"
        )
    shape = (stop - start, *extent.row_shape)
    if out is None:
        return np.empty(shape, extent.dtype)
    if out.dtype != extent.dtype or out.shape[1:] != extent.row_shape or len(out) < shape[0]:
        raise ValueError(
            f"{path}: dataset {dataset!r}: `out` is {out.dtype} {out.shape}, must be {extent.dtype} of at "
            f"least {shape}"
        )
    out = out[: shape[0]]
    if not out.flags.c_contiguous:
        raise ValueError(f"{path}: dataset {dataset!r}: `out` must be C-contiguous")
    return out
