"""The plain twin of the direct reader: the same rows through h5py. The direct one is held to it."""

from pathlib import Path

import h5py
import numpy as np

from interbert.store.direct_reader import rows_buffer
from interbert.store.layout import read_layout


class H5Reader:
    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.extents = read_layout(self.path).extents
        self._file = h5py.File(self.path, "r", locking=False)

    def read_rows(self, dataset: str, start: int, stop: int, out: np.ndarray | None = None) -> np.ndarray:
        out = rows_buffer(self.path, self.extents, dataset, start, stop, out)
        if out.size:
            self._file[dataset].read_direct(out, np.s_[start:stop])
        return out

    def close(self) -> None:
        self._file.close()
