"""Folders with a file an image: npz and npy as the PyTorch extractors write them.

bottom-up-attention.pytorch's npz (x, bbox, info), OpenVQA's (x a column a region), UNITER's (features, norm_bb),
MMF's NAME.npy with NAME_info.npy, vilbert-multi-task's npy of a dictionary, and the pairs cocobu_att/ID.npz,
cocobu_box/ID.npy.
"""

from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.first_rows import habits_of_rows
from interbert.sources.features.fields.record_of import record_of
from interbert.sources.foreign_files.array_files import read_npy, read_npz
from interbert.sources.record import ImageRecord, ImportFault

_INFO, _FULL = "_info.npy", "_full.npy"
"""How MMF calls what lies beside NAME.npy: what is known of it, and all that the detector gave, for pictures."""
_OF_VINVL = {"labels": "obj_ids", "scores": "obj_conf"}
"""What MMF's extractor for VinVL calls otherwise."""
_FEATURES, _BOXES = "_att", "_box"
"""How the folders of cocobu_att and cocobu_box end."""


class ImageFiles:
    """Folders, with all folders in them; the id is the file's name without ending, behind its folder's where there
    are several."""

    class_names = attribute_names = None

    def __init__(self, inputs: list[Path], choices: Choices) -> None:
        self._choices = choices
        self.keys: list[Path] = []
        self._ids: list[str] = []
        for folder in inputs:
            found, root = files_of(folder), _root(folder)
            self.keys += found
            self._ids += [path.relative_to(root).with_suffix("").as_posix() for path in found]
        if not self.keys:
            raise ImportFault(
                f"{', '.join(map(str, inputs))}: no file ends in .npz, or in .npy; give the folder of them"
            )
        self.files = [file for path in self.keys for file in (path, _info_of(path), _boxes_of(path)) if file]
        self._beside = _beside(self.keys[0])
        self._habits = habits_of_rows(self.row, len(self.keys), choices, str(inputs[0]))
        self.notes = list(self._habits.notes)

    def where(self, number: int) -> str:
        return str(self.keys[number])

    def name(self, number: int) -> str | None:
        return self._ids[number]

    def row(self, number: int) -> dict[str, Any]:
        lacks = self._beside - _beside(self.keys[number])
        if lacks:
            raise ImportFault(f"no {', no '.join(sorted(lacks))} of it, which other images have")
        return {"image_id": self._ids[number]} | row_of(self.keys[number])

    def read(self, number: int) -> ImageRecord:
        return record_of(self.row(number) | {"image_id": self._ids[number]}, self._habits, self._choices)


def files_of(folder: Path) -> list[Path]:
    """The files that are of one image each, those of features where features and boxes lie apart."""
    if folder.is_file():
        return [folder]
    root = _root(folder)
    found = sorted(path for path in root.rglob("*.np[yz]") if not path.name.startswith("."))
    there = set(found)
    return [path for path in found if not path.name.endswith(_INFO) and _of_full(path) not in there]


def _of_full(path: Path) -> Path | None:
    return path.with_name(path.name.removesuffix(_FULL) + ".npy") if path.name.endswith(_FULL) else None


def _root(folder: Path) -> Path:
    """The folder itself; of one that holds cocobu_att beside cocobu_box and others, the one with features."""
    if folder.is_file():
        return folder.parent
    apart = [path for path in folder.iterdir() if path.is_dir() and path.name.endswith(_FEATURES)]
    return apart[0] if len(apart) == 1 else folder


def row_of(path: Path) -> dict[str, Any]:
    """The fields of one image's file and of what lies beside it."""
    if path.suffix == ".npz":
        row = read_npz(path)
        info = row.pop("info", None)
        row |= (
            {name: value for name, value in info.items() if name not in row} if isinstance(info, dict) else {}
        )
    else:
        found = read_npy(path)
        row = dict(found) if isinstance(found, dict) else {"features": found}
    if (info := _info_of(path)) is not None:
        beside = read_npy(info)
        if not isinstance(beside, dict):
            raise ImportFault(f"{info.name} holds a {type(beside).__name__}, not a dictionary")
        row = _in_our_words(beside) | row
    if (boxes := _boxes_of(path)) is not None:
        row["boxes"] = read_npy(boxes)
    return row


def _in_our_words(info: dict[str, Any]) -> dict[str, Any]:
    """Of VinVL's detector: of each region's attributes the surest one."""
    if "box_features" not in info:
        return dict(info)
    row = {_OF_VINVL.get(name, name): value for name, value in info.items() if name != "box_features"}
    names, scores = (np.asarray(info.get(name, ())) for name in ("attr_labels", "attr_scores"))
    if names.ndim == 2 and names.shape == scores.shape and names.size:
        best_N1 = scores.argmax(axis=1)[:, None]
        row["attr_ids"] = np.take_along_axis(names, best_N1, axis=1)[:, 0]
        row["attr_conf"] = np.take_along_axis(scores, best_N1, axis=1)[:, 0]
    return row


def _info_of(path: Path) -> Path | None:
    info = path.with_name(path.stem + _INFO)
    return info if path.suffix == ".npy" and info.is_file() else None


def _boxes_of(path: Path) -> Path | None:
    if not path.parent.name.endswith(_FEATURES):
        return None
    folder = path.parent.with_name(path.parent.name.removesuffix(_FEATURES) + _BOXES)
    boxes = folder / f"{path.stem}.npy"
    return boxes if boxes.is_file() else None


def _beside(path: Path) -> set[str]:
    """What kinds of file lie beside the image's own."""
    kinds = {_INFO: _info_of(path), "boxes": _boxes_of(path)}
    return {kind for kind, file in kinds.items() if file is not None}
