"""A table with an image a row, as Hugging Face's data sets are kept: parquet, or arrow's files and streams.

Rows come one after another, some megabytes at a time, whatever the size of a row group.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.sources.foreign_files.signatures import is_image
from interbert.sources.foreign_files.table_rows import open_rows
from interbert.sources.images.containers.columns import ID_NAMES, chosen, named, unique_ids
from interbert.sources.images.containers.container import Fields, Found, ImageError
from interbert.sources.images.containers.names import Names
from interbert.sources.images.containers.sentences import NAMES, sentences_of
from interbert.sources.images.containers.stamp import stamp_of


class ImageTable:
    in_order = True

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path, self.stamp = path, stamp_of(path)
        with open_rows(path) as rows:
            names = rows.schema.names
            images = [n for n in range(len(names)) if _holds_images(rows, n)]
            image = chosen(path, "image", fields.image, images, len(names), names)
            texts = [name if _may_be_text(rows.schema.field(n).type) else "" for n, name in enumerate(names)]
            captions = named(
                path, "caption", fields.captions, NAMES, len(names), names if fields.captions else texts
            )
            self._image, self._captions = names[image], [names[n] for n in captions]
            self.ids, from_ = self._find_ids(rows, fields, names)
            parts = [f"images in {self._image!r}", f"ids from {from_}"]
            parts += [f"captions in {', '.join(map(repr, self._captions))}"] if captions else []
            unread = [
                name for name in names if name not in (self._image, *self._captions) and repr(name) != from_
            ]
            parts += [f"not read: {', '.join(unread)}"] if unread else []
        self.told = ["; ".join(parts)]
        self._reading: Iterator[tuple[Any, list[Any]]] | None = None
        self._next = 0

    def where(self, number: int) -> str:
        return f"{self.path}, row {number}"

    def size(self, number: int) -> int:
        return 0

    def read(self, number: int) -> Found:
        if self._reading is None or number != self._next:
            self._reading = self._from(number)
        reading, self._reading, self._next = self._reading, None, number + 1
        image, captions = next(reading)
        if self._next < len(self.ids):  # else the file is closed with it
            self._reading = reading
        if isinstance(image, list):
            if len(image) != 1:
                raise ImageError(f"a list of {len(image)} images; one a row is expected")
            image = image[0]
        if isinstance(image, dict):
            if image.get("bytes") is None:
                raise ImageError(
                    f"the table has no bytes of it, only the path {str(image.get('path'))!r}; write the data set "
                    "with its images in it, or give the folder"
                )
            image = image["bytes"]
        if not isinstance(image, bytes):
            raise ImageError(
                "the row has no image" if image is None else f"a {type(image).__name__}, no image"
            )
        pairs = zip(self._captions, captions, strict=True)
        return Found(image, [sentence for name, value in pairs for sentence in sentences_of(value, name)])

    def close(self) -> None:
        self._reading = None

    def _from(self, number: int) -> Iterator[tuple[Any, list[Any]]]:
        with open_rows(self.path) as rows:
            for first, batch in rows.batches([self._image, *self._captions], number):
                image, captions = batch.column(self._image), [batch.column(name) for name in self._captions]
                for row in range(max(number - first, 0), batch.num_rows):
                    yield image[row].as_py(), [column[row].as_py() for column in captions]

    def _find_ids(self, rows: Any, fields: Fields, names: list[str]) -> tuple[Names, str]:
        """By the first column whose values differ; else by the images' own paths, else by the rows' numbers."""
        if fields.id:
            name = names[named(self.path, "id", (fields.id,), ID_NAMES, len(names), names)[0]]
            given = rows.texts(name)
            return unique_ids(given) or Names(given), repr(name)
        lower = {name.lower(): name for name in names}
        known = [lower[name] for name in ID_NAMES if name in lower]
        paths = [f"{self._image}.path"] if _has_path(rows.schema.field(self._image).type) else []
        for name in [*known, *paths]:
            found = unique_ids(rows.texts(name))
            if found is not None:
                return found, repr(name)
        return Names(f"{self.path.stem}/{number}" for number in range(rows.count)), "the rows' numbers"


def _holds_images(rows: Any, number: int) -> bool:
    field = rows.schema.field(number)
    kind = field.type.value_type if hasattr(field.type, "value_type") else field.type  # of a list
    if str(kind).startswith("struct<"):
        return "bytes" in {kind.field(n).name for n in range(kind.num_fields)}
    return kind is field.type and "binary" in str(kind) and is_image(rows.first(field.name) or b"")


def _has_path(kind: Any) -> bool:
    return str(kind).startswith("struct<") and any(
        kind.field(n).name == "path" for n in range(kind.num_fields)
    )


def _may_be_text(kind: Any) -> bool:
    return "string" in str(kind)
