"""Rows that wait for their place in a store, in a file without a name: memory holds none of them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from interbert.store.known_names import KnownNames

_BUFFER = 1 << 18
_BLOCK = 4 << 20
_HANDED_OVER = 16 << 20
"""Bytes after which the disk is told to begin: else it sleeps until the end, and is then waited for."""


class Spool:
    """Bytes of one dataset, in the order that they came."""

    def __init__(self, folder: Path, dtype: str, start: int = 0) -> None:
        """folder: beside the target, for that is where there must be room.

        start: where in the file they begin, of one that is to become the target itself.
        """
        self.dtype, self.start = np.dtype(dtype), start
        self._file = _nameless(folder)
        self._file.seek(start)
        self.bytes = self._handed_over = 0

    def add(self, values: Any) -> None:
        """An array or bytes; whole numbers in a list are brought to the dataset's type."""
        data = np.asarray(values, self.dtype).data if isinstance(values, list) else values
        size = memoryview(data).nbytes
        if size:
            self._file.write(data)
            self.bytes += size
            if self.start and self.bytes - self._handed_over >= _HANDED_OVER:
                self._hand_over()

    def _hand_over(self) -> None:
        # Linux begins to write such pages, does not wait, and keeps those that are not yet written in memory.
        place, length = self.start + self._handed_over, self.bytes - self._handed_over
        os.posix_fadvise(self._file.fileno(), place, length, os.POSIX_FADV_DONTNEED)
        self._handed_over = self.bytes

    def __len__(self) -> int:
        """Numbers, not rows."""
        return self.bytes // self.dtype.itemsize

    def blocks(self) -> Iterator[bytes]:
        self._file.seek(self.start)
        while block := self._file.read(_BLOCK):
            yield block

    def descriptor(self) -> int:
        """Of a file that has everything."""
        self._file.flush()
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


def _nameless(folder: Path) -> IO[bytes]:
    """Where the system can, such as can be given a name later."""
    try:
        return open(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b", buffering=_BUFFER)
    except (OSError, AttributeError):
        return tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)


def name_file(descriptor: int, path: Path) -> bool:
    """Whether the file without a name could be given this one."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Only with a folder's descriptor Python tells the system to follow the link that /proc has.
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    except (OSError, NotImplementedError):
        return False
    finally:
        os.close(folder)
    return True


class Names:
    """The ids of images: their bytes wait on disk, joined by NUL; memory tells of each whether it is known."""

    def __init__(self, folder: Path) -> None:
        self._spool, self._known = Spool(folder, "S1"), KnownNames()
        self.count = self.widest = 0

    def __contains__(self, name: bytes) -> bool:
        return name in self._known

    def add(self, names: list[bytes]) -> None:
        if names:
            self._spool.add(b"\0" * bool(self.count) + b"\0".join(names))
            self.count += len(names)
            self.widest = max(self.widest, max(map(len, names)))
        for name in names:
            self._known.add(name)

    def joined(self) -> Iterator[bytes]:
        """Many at a time, joined by NUL."""
        rest = b""
        for block in self._spool.blocks():
            whole, cut, rest_of_block = (rest + block).rpartition(b"\0")
            if cut:
                yield whole
            rest = rest_of_block
        yield rest

    def close(self) -> None:
        self._spool.close()
