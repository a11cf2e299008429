"""The rows of a mined table where they lie in its file: mapped, so that all ranks of a host share one copy."""

import os
from pathlib import Path

import h5py
import numpy as np

from interbert.store.guarded import extent_of, find_dataset


def map_rows(path: str | Path, file: h5py.File, name: str, error: type[ValueError]) -> np.ndarray:
    """int32 [rows, top] of an open table; `error` where there is no such dataset in one piece."""

    def fault(dataset: str, what: str, remedy: str) -> ValueError:
        return error(f"{path}: dataset {dataset!r}: {what}; mine it again")

    dataset = find_dataset(fault, file, name)
    if dataset is None or dataset.dtype != np.dtype("<i4") or len(dataset.shape) != 2:
        raise fault(name, "missing, or not of two dimensions of 32-bit integers", "")
    extent = extent_of(fault, name, dataset, dataset.dtype, os.path.getsize(path))
    if extent.bytes == 0:
        return np.zeros(extent.shape, np.int32)
    return np.asarray(np.memmap(path, "<i4", mode="r", offset=extent.offset, shape=extent.shape))
