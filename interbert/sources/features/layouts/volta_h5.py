"""VOLTA's HDF5: one group an image, its name is the image id."""

from pathlib import Path
from typing import Any

import h5py

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.features.fields.row import NAMES
from interbert.sources.foreign_files.hdf5 import bytes_of, open_hdf5, place_of, told_if_damaged, values_in
from interbert.sources.foreign_files.hdf5_groups import SmallGroups
from interbert.sources.record import ImageRecord, ImportFault

_FIELDS = frozenset(NAMES)


class VoltaSource:
    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self.files, self._choices = inputs, choices
        self._open = [open_hdf5(path) for path in inputs]
        self._bytes = [bytes_of(file) for file in self._open]
        self._groups = [SmallGroups.of(path, data) for path, data in zip(inputs, self._bytes, strict=True)]
        self.keys = [(number, name) for number, file in enumerate(self._open) for name in file]
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
        self.notes = list(self._habits.notes)

    def where(self, number: int) -> str:
        file, name = self.keys[number]
        return f"{self.files[file]}, group {name!r}"

    def name(self, number: int) -> str | None:
        return self.keys[number][1]

    def row(self, number: int) -> dict[str, Any]:
        file, name = self.keys[number]
        with told_if_damaged():
            place, groups = place_of(self._open[file], name), self._groups[file]
            if groups is not None and (found := groups.arrays(place, _FIELDS)):
                return found | {"image_id": name}
            group = self._open[file][name]
            if not isinstance(group, h5py.Group):
                raise ImportFault("a data set, not a group; VOLTA's files have one group an image")
            row = dict(group.attrs) if h5py.h5a.get_num_attrs(group.id) else {}
            row |= {field: values_in(group, field, self._bytes[file]) for field in group if field in NAMES}
        return row | {"image_id": name}

    def read(self, number: int) -> ImageRecord:
        return record_of(self.row(number), self._habits, self._choices)
