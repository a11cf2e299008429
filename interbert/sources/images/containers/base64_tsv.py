"""A TSV with an image a line, as base64: of the common alphabet or the one for URLs, with or without a header."""

import base64
import binascii
import os
from pathlib import Path

import numpy as np

from interbert.sources.foreign_files.signatures import is_image
from interbert.sources.images.containers.columns import ID_NAMES, chosen, named, unique_ids
from interbert.sources.images.containers.container import Fields, Found, ImageError
from interbert.sources.images.containers.names import Names
from interbert.sources.images.containers.sentences import NAMES, sentences_of
from interbert.sources.images.containers.stamp import stamp_of

_MOST_BYTES = 1 << 30
"""Of a line that is looked at to find out what the columns are."""
_QUOTED = (b"b'", b'b"')
"""As Python prints bytes."""
_BLOCK = 16 << 20
_NEAR = 4096
"""Bytes at the ends of a line that ids are looked for in without reading all of it."""


class Base64Tsv:
    in_order = False

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path, self.stamp = path, stamp_of(path)
        starts = _line_starts(path)
        with open(path, "rb") as file:
            first = _cells(file.readline(_MOST_BYTES))
            second = _cells(file.readline(_MOST_BYTES))
        has_header = not any(map(_is_image, first)) and any(map(_is_image, second))
        sample, names = (second, [_text(c) for c in first]) if has_header else (first, None)
        self._columns, self._has_header = len(sample), has_header
        images = [number for number, cell in enumerate(sample) if _is_image(cell)]
        names = names if names is not None and len(names) == len(sample) else None
        self._image = chosen(path, "image", fields.image, images, len(sample), names)
        self._captions = named(path, "caption", fields.captions, NAMES, len(sample), names)
        ids = named(path, "id", (fields.id,) if fields.id else (), ID_NAMES, len(sample), names)
        self._id = ids[0] if ids else None
        if not ids and names is None and self._image > 0:
            self._id = 0
        self._starts = starts[1:] if has_header else starts
        self.ids = self._find_ids(asked=fields.id is not None)
        self.told = [self._tell(names)]

    def where(self, number: int) -> str:
        return f"{self.path}, line {number + 1 + self._has_header}"

    def size(self, number: int) -> int:
        return int(self._starts[number + 1] - self._starts[number])

    def read(self, number: int) -> Found:
        handle = os.open(self.path, os.O_RDONLY)
        try:
            line = os.pread(handle, self.size(number), int(self._starts[number]))
        finally:
            os.close(handle)
        cells = _cells(line)
        if len(cells) != self._columns:
            raise ImageError(f"{len(cells)} columns, the first line has {self._columns}")
        captions = [
            sentence
            for column in self._captions
            for sentence in sentences_of(_text(cells[column]), f"column {column + 1}")
        ]
        return Found(_decoded(cells[self._image]), captions)

    def close(self) -> None:
        """Nothing is held open."""

    def _tell(self, names: list[str] | None) -> str:
        def called(column: int) -> str:
            return f"column {column + 1}" + (f" ({names[column]})" if names else "")

        unread = set(range(self._columns)) - {self._image, self._id, *self._captions}
        parts = [f"images in {called(self._image)}"]
        parts += [f"ids in {called(self._id)}"] if self._id is not None else ["ids from the lines' numbers"]
        parts += [f"captions in {', '.join(map(called, self._captions))}"] if self._captions else []
        parts += [f"not read: {', '.join(map(called, sorted(unread)))}"] if unread else []
        return "; ".join(parts)

    def _find_ids(self, asked: bool) -> Names:
        count = len(self._starts) - 1
        if self._id is not None:
            with open(self.path, "rb") as file:
                given = [self._read_id(file.fileno(), number) for number in range(count)]
            found = unique_ids(given)
            if found is not None or asked:
                return found or Names(given)
            self._id = None
        return Names(f"{self.path.stem}/{number}" for number in range(count))

    def _read_id(self, handle: int, number: int) -> str:
        """From the start of the line, or from its end, whichever is on the id's side of the image."""
        start, end = self._starts[number : number + 2].tolist()
        if self._id < self._image:
            cells = os.pread(handle, min(_NEAR, end - start), start).split(b"\t")
            known = len(cells) > self._id + 1
            place = self._id
        else:
            cells = (
                os.pread(handle, min(_NEAR, end - start), max(start, end - _NEAR))
                .rstrip(b"\r\n")
                .split(b"\t")
            )
            place = self._id - self._columns
            known = len(cells) >= -place + 1
        # A line that is no good has an id all the same, and is told when it is read.
        return _text(cells[place]) if known else f"{self.path.stem}/{number}"


def _line_starts(path: Path) -> np.ndarray:
    """int64 [lines + 1]: where each line begins, and the end; empty lines at the end are none."""
    found, done = [np.zeros(1, np.int64)], 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.append(np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + done + 1)
            done += len(block)
    starts = np.concatenate(found)
    starts = starts if starts[-1] == done else np.append(starts, done)
    while len(starts) > 1 and starts[-1] - starts[-2] <= 2 and _is_blank(path, starts[-2], starts[-1]):
        starts = starts[:-1]
    if len(starts) == 1:
        raise ImageError(f"{path}: empty; no image there")
    return starts


def _is_blank(path: Path, start: int, end: int) -> bool:
    with open(path, "rb") as file:
        file.seek(int(start))
        return not file.read(int(end - start)).strip()


def _cells(line: bytes) -> list[bytes]:
    return line.rstrip(b"\r\n").split(b"\t")


def _text(cell: bytes) -> str:
    try:
        return cell.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImageError(f"{cell!r:.60} is not UTF-8 ({error.reason})") from None


def _is_image(cell: bytes) -> bool:
    if len(cell) < 32:
        return False
    try:
        return is_image(_decoded(cell[:34] if cell[:2] in _QUOTED else cell[:32]))
    except ImageError:
        return False


def _decoded(cell: bytes) -> bytes:
    if cell[:2] in _QUOTED:
        cell = cell[2:].rstrip(b"'\"")
    if b"-" in cell or b"_" in cell:
        cell = cell.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(cell + b"=" * (-len(cell) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"not base64 ({error})") from None
