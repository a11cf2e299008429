"""What a user says of files that do not say it themselves: a width, names of classes, sizes of images."""

import csv
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.sources.record import ImportFault

BOXES = ("whole", "grid")
BACKGROUND = "__background__"
"""The name of number 0 where a list of names leaves it out."""
_PADDED = re.compile(r"(?<![0-9A-Za-z])[0-9]{12}$")
"""A shorter number may be of an image of any data set."""
_IDS = ("image_id", "id", "img_id", "file_name", "filename")
_WIDTHS, _HEIGHTS = ("width", "image_w", "img_w"), ("height", "image_h", "img_h")


@dataclass(frozen=True)
class Choices:
    feature_width: int | None = None
    boxes: str = "whole"
    """Of regions without boxes: each has the whole image, or its cell of a square grid."""
    class_names: tuple[str, ...] | None = None
    attribute_names: tuple[str, ...] | None = None
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(width, height) by image id."""

    def size_of(self, image_id: str) -> tuple[int, int] | None:
        """Of the id, or of the number of COCO's that it ends in."""
        padded = _PADDED.search(image_id) if self.sizes else None
        return self.sizes.get(image_id) or (self.sizes.get(str(int(padded[0]))) if padded else None)


def read_class_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Names of classes, and of attributes where the file has them: a line each, a JSON list, or VinVL's maps."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip()[:1] not in ("[", "{"):
        names = [line.strip() for line in text.splitlines()]
        while names and not names[-1]:
            names.pop()
        return _names(path, names), None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ImportFault(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    if isinstance(tree, list):
        return _names(path, tree), None
    maps = {"label_to_idx": None, "attribute_to_idx": None}
    for name in maps:
        if name in tree:
            maps[name] = _names(path, _by_number(path, name, tree[name]))
    if maps["label_to_idx"] is None:
        raise ImportFault(f"{path}: neither a list of names nor an object with label_to_idx")
    return maps["label_to_idx"], maps["attribute_to_idx"]


def _by_number(path: Path, field: str, numbers: dict[str, int]) -> list[str]:
    """The names in the order of their numbers; a number before the first one is the background's."""
    names = {int(number): name for name, number in numbers.items()}
    if not names or len(names) != len(numbers) or not set(names) | {0} == set(range(max(names) + 1)):
        raise ImportFault(f"{path}: {field} does not number its names one by one")
    return [names.get(number, BACKGROUND) for number in range(max(names) + 1)]


def _names(path: Path, names: list[Any]) -> tuple[str, ...]:
    wrong = next((n for n, name in enumerate(names) if not isinstance(name, str) or not name), None)
    if wrong is not None:
        raise ImportFault(f"{path}: name {wrong} is {names[wrong]!r:.40}, not a text")
    if not names:
        raise ImportFault(f"{path}: no name")
    return tuple(names)


def read_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """From COCO's JSON (`images` with id or file_name, width, height), lines of such objects, or CSV."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        rows = _json_rows(text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text)
    except json.JSONDecodeError as error:
        raise ImportFault(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    sizes: dict[str, tuple[int, int]] = {}
    stems: dict[str, tuple[int, int] | None] = {}
    for entry, row in enumerate(rows, start=1):
        width, height = (next((row[n] for n in names if n in row), None) for names in (_WIDTHS, _HEIGHTS))
        ids = [str(row[name]) for name in _IDS if name in row]
        try:
            size = int(width), int(height)
        except (TypeError, ValueError):
            size = (0, 0)
        if not ids or min(size) < 1:
            raise ImportFault(
                f"{path}, entry {entry}: an id, a width and a height are expected; it has {row!r:.80}"
            )
        for name in ids:
            sizes[name], stem = size, Path(name).stem
            stems[stem] = size if stems.get(stem, size) == size else None  # two folders' images of one name
    return {stem: size for stem, size in stems.items() if size} | sizes


def _json_rows(text: str) -> list[dict]:
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    rows = tree.get("images", [tree]) if isinstance(tree, dict) else tree
    return [row if isinstance(row, dict) else {} for row in rows]


def _csv_rows(text: str) -> list[dict]:
    lines = text.splitlines()
    return list(csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",")) if lines else []
