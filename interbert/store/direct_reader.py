"""Reading rows of a store by offset, without HDF5: no lock, no shared position, the GIL released."""

import errno
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interbert.store.format import Extent, StoreError

log = logging.getLogger(__name__)

RETRY_AFTER = (0.5, 2.0, 5.0)
"""Seconds: a network disk that changes servers, or a cable put back, is soon there again."""
PASSING = {
    errno.EAGAIN, errno.ECONNABORTED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN, errno.EREMOTEIO, errno.ESHUTDOWN, errno.ESTALE,
    errno.ETIMEDOUT,
}  # fmt: skip
"""Errors of a read that may be over at the next try."""


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
            place = extent.offset + start * extent.row_bytes
            read_into(self, dataset, place, out.reshape(-1).view(np.uint8).data)
        return out

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def read_into(reader: DirectReader, dataset: str, position: int, buffer: memoryview) -> None:
    """Fill `buffer` from there on; a read may be short (a signal, the 2 GiB limit), so go on."""
    done, waits = 0, iter(RETRY_AFTER)
    while done < len(buffer):
        try:
            count = os.preadv(reader.fd, [buffer[done:]], position + done)
        except OSError as error:
            _wait_after(error, waits, reader, dataset, position + done)
            continue
        if count == 0:
            raise StoreError(
                f"{reader.path}: the file ends at byte {position + done}, {len(buffer) - done} bytes too early: it "
                "was cut short after it was opened; copy it again"
            )
        done += count


def _wait_after(
    error: OSError, waits: Iterator[float], reader: DirectReader, dataset: str, position: int
) -> None:
    """Until it is worth another try; StoreError when it is not."""
    extent = reader.extents[dataset]
    row = (position - extent.offset) // extent.row_bytes
    told = f"{reader.path}: dataset {dataset!r}: row {row} cannot be read ({error.strerror})"
    seconds = next(waits, None) if error.errno in PASSING else None
    if seconds is None:
        tries = f" after {len(RETRY_AFTER) + 1} tries" if error.errno in PASSING else ""
        raise StoreError(f"{told}{tries}; see to the disk that holds it, then go on with the same command")
    log.warning("%s; once more in %g s", told, seconds)
    time.sleep(seconds)


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
