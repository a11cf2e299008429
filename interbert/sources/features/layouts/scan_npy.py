"""SCAN's precomputed features: SPLIT_ims.npy of all images, with SPLIT_ids.txt and SPLIT_caps.txt beside it.

Some add SPLIT_boxes.npy and SPLIT_img_sizes.npy (width, height); else regions have no boxes.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.foreign_files.array_files import header_of
from interbert.sources.foreign_files.lying import Bytes, LyingArray
from interbert.sources.record import ImageRecord, ImportFault

_END = "_ims"
_EACH = 5
"""Captions an image, where each has several."""


class ScanSource:
    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self._choices = choices
        self.files: list[Path] = []
        self.notes: list[str] = []
        self._splits = [_Split(_array_at(path)) for path in inputs]
        self.keys = [(place, image) for place, split in enumerate(self._splits) for image in split.images]
        for split in self._splits:
            self.files += split.files
            self.notes += [f"{split.path}: {note}" for note in split.notes]
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
        self.notes += self._habits.notes

    def where(self, number: int) -> str:
        place, image = self.keys[number]
        return f"{self._splits[place].path}, image {image}"

    def name(self, number: int) -> str | None:
        place, image = self.keys[number]
        return self._splits[place].ids[image]

    def row(self, number: int) -> dict[str, Any]:
        place, image = self.keys[number]
        return self._splits[place].row(image)

    def read(self, number: int) -> ImageRecord:
        row = self.row(number)
        record = record_of(row, self._habits, self._choices)
        record.captions = row["captions"]
        return record


def arrays_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_END}.npy") if not path.name.startswith("."))


def _array_at(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = arrays_in(path)
    if len(found) != 1:
        told = ", ".join(one.name for one in found) or f"no file *{_END}.npy"
        raise ImportFault(f"{path}: {told} in it; give the file of the split that you want")
    return found[0]


class _Split:
    """One SPLIT_ims.npy and what lies beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, []
        self.features = _lying(path)
        if self.features.ndim != 3:
            raise ImportFault(f"{path}: of shape {self.features.shape}; images x regions x width is expected")
        stem = path.stem.removesuffix(_END)
        beside = {name: path.with_name(f"{stem}{name}") for name in ("_ids.txt", "_caps.txt")}
        beside |= {name: path.with_name(f"{stem}{name}.npy") for name in ("_boxes", "_img_sizes")}
        self.files = [path, *(file for file in beside.values() if file.is_file())]
        ids, texts = (_lines(beside[name]) for name in ("_ids.txt", "_caps.txt"))
        self.boxes, self.sizes = (
            _beside(beside[name], len(self.features)) for name in ("_boxes", "_img_sizes")
        )
        self.ids = self._ids(ids)
        self.captions = self._captions(texts)
        self.images = self._images()

    def row(self, image: int) -> dict[str, Any]:
        row = {
            "image_id": self.ids[image],
            "features": self.features[image],
            "captions": self.captions[image],
        }
        if self.boxes is not None:
            row["boxes"] = self.boxes[image]
        if self.sizes is not None:
            row["image_w"], row["image_h"] = self.sizes[image]
        return row

    def _ids(self, lines: list[str] | None) -> list[str]:
        images = len(self.features)
        if lines is None:
            self.notes.append("no ids beside it: images are called by their numbers in the array")
            each = _EACH if self._repeats_each() else 1
            return [str(image // each) for image in range(images)]
        if len(lines) == images:
            return lines
        if len(lines) == _EACH * images and all(len(set(five)) == 1 for five in _fives(lines)):
            return lines[::_EACH]
        raise ImportFault(f"{self.path}: {images} images, but {len(lines)} ids beside it")

    def _repeats_each(self) -> bool:
        """Whether each image comes five times, as in the splits that captions are to be found in; a few are asked."""
        if not len(self.features) or len(self.features) % _EACH:
            return False
        groups = {0, len(self.features) // _EACH // 2, len(self.features) // _EACH - 1}
        return all(
            np.array_equal(self.features[_EACH * group], self.features[_EACH * group + more])
            for group in groups
            for more in range(1, _EACH)
        )

    def _captions(self, lines: list[str] | None) -> list[list[str]]:
        images = len(self.features)
        if lines is None:
            return [[] for _ in range(images)]
        if len(lines) == images:
            return [[line] * bool(line) for line in lines]
        if len(lines) == _EACH * images:
            return [[line for line in five if line] for five in _fives(lines)]
        raise ImportFault(f"{self.path}: {images} images, but {len(lines)} captions beside it")

    def _images(self) -> list[int]:
        """Each image once: the array repeats it for each of its captions where there are as many rows as those."""
        first = {image_id: image for image, image_id in reversed(list(enumerate(self.ids)))}
        if len(first) < len(self.ids):
            for image, image_id in enumerate(self.ids):
                if first[image_id] != image:
                    self.captions[first[image_id]] += self.captions[image]
            self.notes.append(f"{len(self.ids) - len(first):,} rows repeat an image; each is read once")
        return sorted(first.values())


def _lying(path: Path) -> LyingArray | np.ndarray:
    try:
        with open(path, "rb") as file:
            shape, fortran, kind = header_of(file)
            if kind.hasobject:
                raise ValueError("an array of objects, not of numbers")
            if fortran:
                return np.memmap(path, kind, "r", file.tell(), shape, "F")
            data, place = Bytes(path), file.tell()
            if place + math.prod(shape) * kind.itemsize > data.size:
                raise ValueError(f"{data.size:,} bytes, which are not {shape} of {kind}")
            return LyingArray(data, place, shape, kind)
    except (ValueError, OSError) as error:
        raise ImportFault(f"{path}: not a readable npy ({error})") from None


def _beside(path: Path, images: int) -> LyingArray | np.ndarray | None:
    if not path.is_file():
        return None
    found = _lying(path)
    if found.ndim < 2:
        raise ImportFault(f"{path}: of shape {found.shape}; a row of numbers for each image is expected")
    if len(found) != images:
        raise ImportFault(f"{path}: {len(found)} rows for {images} images")
    return found


def _lines(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _fives(lines: list[str]) -> list[list[str]]:
    return [lines[start : start + _EACH] for start in range(0, len(lines), _EACH)]
