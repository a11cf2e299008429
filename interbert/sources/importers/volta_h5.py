"""VOLTA's HDF5: one group an image, its name is the image id."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.sources.importers.record import ImageRecord, ImportFault


class VoltaSource:
    class_names = None

    def __init__(self, inputs: list[Path]) -> None:
        self.files = inputs
        try:
            self._open = [h5py.File(path, "r") for path in inputs]
        except OSError as error:
            raise ImportFault(f"{', '.join(map(str, inputs))}: not a readable HDF5 file ({error})") from None
        self.keys = [(number, name) for number, file in enumerate(self._open) for name in file]

    def where(self, number: int) -> str:
        file, name = self.keys[number]
        return f"{self.files[file]}, group {name!r}"

    def name(self, number: int) -> str | None:
        return self.keys[number][1]

    def read(self, number: int) -> ImageRecord:
        file, name = self.keys[number]
        group = self._open[file][name]
        if not isinstance(group, h5py.Group):
            raise ImportFault("a data set, not a group; VOLTA's files have one group an image")
        features = _array(group, "features", 2)
        record = ImageRecord(
            name,
            int(_value(group, "img_w")),
            int(_value(group, "img_h")),
            _array(group, "boxes", 2),
            features,
        )
        if "obj_id" in group:
            record.labels_N = _array(group, "obj_id", 1).astype(np.int64)
            if "obj_conf" in group:
                record.confidence_N = _array(group, "obj_conf", 1)
        return record


def _value(group: h5py.Group, field: str) -> Any:
    if field not in group and field not in group.attrs:
        raise ImportFault(f"lacks {field}; it has {', '.join(group)}")
    return np.asarray(group[field][()] if field in group else group.attrs[field]).reshape(-1)[0]


def _array(group: h5py.Group, field: str, dimensions: int) -> np.ndarray:
    if field not in group:
        raise ImportFault(f"lacks {field}; it has {', '.join(group)}")
    values = group[field][()]
    values = values.reshape(-1) if dimensions == 1 else values
    if values.ndim != dimensions:
        raise ImportFault(f"{field}: {values.ndim} dimensions, {dimensions} expected")
    return values
