"""COCO's annotations: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, in any order."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.sources.captions.disk_map import DiskMap
from interbert.sources.captions.json_stream import elements
from interbert.sources.captions.layout import (
    Caption,
    Layout,
    captions_of,
    first_name,
    image_name,
    other_name,
    sentences,
)
from interbert.sources.record import ImportFault


def coco(path: Path, encoding: str) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        with DiskMap() as files:
            files.fill(_files(path, encoding))
            for where, annotation in elements(path, encoding, "annotations"):
                image = image_name(_value(annotation, "image_id", where), f"{where}, image_id")
                texts = sentences(_value(annotation, "caption", where), f"{where}, caption")
                name = files.get(image)
                if name is None and len(files):
                    raise ImportFault(f"{where}: image_id {image} is not among the file's images")
                yield from captions_of(name or image, image, None, texts, left_out)

    return Layout(
        "COCO's annotations",
        (first_name("file_name"), other_name("id")),
        "images[]: id, file_name; annotations[]: image_id, caption",
        captions,
        left_out,
    )


def _files(path: Path, encoding: str) -> Iterator[tuple[str, str]]:
    """(id, file name) of each image."""
    for where, image in elements(path, encoding, "images"):
        name = image_name(_value(image, "file_name", where), f"{where}, file_name")
        yield image_name(_value(image, "id", where), f"{where}, id"), name


def _value(item: Any, field: str, where: str) -> Any:
    if not isinstance(item, dict) or field not in item:
        raise ImportFault(f"{where}: lacks {field!r}")
    return item[field]
