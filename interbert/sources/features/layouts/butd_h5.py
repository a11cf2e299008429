"""hengyuan-hu's HDF5 of bottom-up features (train36.hdf5, and train.hdf5 with `pos_boxes`) and its pickle of ids."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.foreign_files import safe_pickle
from interbert.sources.foreign_files.hdf5 import (
    array_in,
    bytes_of,
    dataset_in,
    open_hdf5,
    rows_of,
    told_if_damaged,
)
from interbert.sources.record import ImageRecord, ImportFault

_ARRAYS = ("image_features", "image_bb", "spatial_features")


class ButdSource:
    """One file. Its boxes stand there in pixels and in shares of the image: so the image's size is known too."""

    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self.path, ids = _file_and_ids(inputs)
        self.files, self._choices = [self.path, ids], choices
        self._file = open_hdf5(self.path)
        missing = [name for name in ("image_features", "image_bb") if name not in self._file]
        if missing:
            raise ImportFault(f"{self.path}: lacks {', '.join(missing)}; it has {', '.join(self._file)}")
        try:
            with told_if_damaged():
                data, there = bytes_of(self._file), [name for name in _ARRAYS if name in self._file]
                self._arrays = {name: array_in(self._file, name, data) for name in there}
                self._ranges = _ranges(self._file)
        except ImportFault as error:
            raise ImportFault(f"{self.path}: {error}") from None
        images = len(self._arrays["image_features"] if self._ranges is None else self._ranges)
        self.keys = _ids_in_order(ids)
        if len(self.keys) != images:
            self._refuse_if_written(ids, images)
        self._habits = habits_of_rows(self.row, min(1, len(self.keys)), choices, str(self.path))
        self.notes = list(self._habits.notes)
        if len(self.keys) != images:
            self.notes.append(
                f"{images - len(self.keys):,} rows without an id were never filled and are not read"
            )
        self._has_shares = "spatial_features" in self._file
        if self._has_shares:
            self.notes.append("sizes: reckoned from the boxes in pixels and the same in shares of the image")

    def _refuse_if_written(self, ids: Path, images: int) -> None:
        """The converter makes room for every image of a folder, and fills what the TSV has."""
        there = len(self.keys)
        told = f"{ids}: {there:,} ids, but {self.path.name} has {images:,} images"
        if there > images or self._ranges is not None:
            raise ImportFault(f"{told}; give the pickle that was written with it")
        for row in {there, (there + images) // 2, images - 1}:
            if rows_of(self._arrays["image_bb"], row, "image_bb").any():
                raise ImportFault(
                    f"{told}, and those without an id hold something: give the pickle written with it"
                )

    def where(self, number: int) -> str:
        return f"{self.path}, image {number}"

    def name(self, number: int) -> str | None:
        return self.keys[number]

    def row(self, number: int) -> dict[str, Any]:
        rows = number if self._ranges is None else slice(*self._ranges[number].tolist())
        with told_if_damaged():
            found = {name: rows_of(array, rows, name) for name, array in self._arrays.items()}
        return {"image_id": self.keys[number]} | found

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        if self._has_shares:
            row["image_w"], row["image_h"] = _size(row["image_bb"], row["spatial_features"])
        return record_of(row, self._habits, self._choices)


def _ranges(file: h5py.File) -> np.ndarray | None:
    """[images, 2]: the first row of each image and the one behind its last, where they have as many as they like."""
    if "pos_boxes" not in file:
        return None
    found = dataset_in(file, "pos_boxes")
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise ImportFault(
            f"pos_boxes: {found.shape} of {found.dtype}; two whole numbers an image are expected"
        )
    return rows_of(found, slice(0, len(found)), "pos_boxes")


def _size(boxes_N4: np.ndarray, shares_NS: np.ndarray) -> tuple[int, int]:
    """(width, height) from the corners that lie furthest from 0, which tell them most exactly."""
    sides = []
    for axis in (2, 3):
        region = int(np.argmax(shares_NS[:, axis]))
        if not shares_NS[region, axis] > 0:
            raise ImportFault("spatial_features: no box ends right of, or below, the image's corner")
        side = float(boxes_N4[region, axis]) / float(shares_NS[region, axis])
        if not 1 <= side < 1e6 or abs(side - round(side)) > max(1e-3 * side, 0.1):
            raise ImportFault(
                f"image_bb and spatial_features do not belong together: a side of {side:.5g} pixels"
            )
        sides.append(round(side))
    return sides[0], sides[1]


def _file_and_ids(inputs: list[Path]) -> tuple[Path, Path]:
    pickles = [path for path in inputs if path.suffix == ".pkl"]
    files = [path for path in inputs if path not in pickles]
    if len(files) != 1 or len(pickles) > 1:
        raise ImportFault("give one HDF5 file, and its pickle of ids where that does not lie beside it")
    beside = files[0].with_name(f"{files[0].stem}_imgid2idx.pkl")
    if not pickles and not beside.is_file():
        raise ImportFault(
            f"{files[0]}: {beside.name} is not beside it, which has the ids; give it as a second input"
        )
    return files[0], pickles[0] if pickles else beside


def _ids_in_order(path: Path) -> list[str]:
    found = safe_pickle.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ImportFault(f"{path}: a {type(found).__name__}, not a dictionary of ids to rows")
    names = {place: name for name, place in found.items() if isinstance(place, int | np.integer)}
    if set(names) != set(range(len(found))):
        raise ImportFault(f"{path}: a dictionary of ids to 0 … {len(found) - 1} is expected, each once")
    return [str(names[place]) for place in range(len(found))]
