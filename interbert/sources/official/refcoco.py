"""RefCOCO, RefCOCO+ and RefCOCOg: phrases that mean one object of an image, into examples with its box."""

import json
from collections import Counter
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.foreign_files.safe_pickle import loads
from interbert.sources.official.images import Images
from interbert.sources.official.rows import (
    OFFICIAL,
    Example,
    examples_of,
    json_tree,
    number_in,
    text_in,
)
from interbert.sources.record import ImportFault

NAME = "refcoco"
INSTANCES = "instances.json"


def refs_in(folder: Path, split_by: str | None) -> Path:
    """refs(unc).p, or that of another division into splits."""
    found = sorted(folder.glob("refs(*).p"))
    if split_by:
        found = [path for path in found if path.name == f"refs({split_by}).p"]
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; name the folder that it and {INSTANCES} lie in")
    if len(found) == 1 and (folder / INSTANCES).is_file():
        return found[0]
    if len(found) > 1:
        raise ValueError(
            f"{folder}: {', '.join(path.name for path in found)}: say by --split-by which division counts"
        )
    missing = INSTANCES if found else f"refs({split_by or 'unc'}).p"
    raise ValueError(f"{folder}: {missing} missing; give the official folder, whole")


def examples_of_phrases(refs: Path, split: str, images: Images, left_out: Counter[str]) -> Iterator[Example]:
    """Each sentence of each ref of the split."""
    instances = json_tree(refs.parent / INSTANCES, "annotations")
    boxes, categories = _boxes(instances, refs.parent / INSTANCES), _names_of_categories(instances)
    sizes = _sizes(instances)
    rows = _refs(refs)
    splits = sorted({str(row.get("split")) for row in rows if type(row) is dict})
    if split not in splits:
        raise ValueError(f"{refs}: no split {split!r}; it has {', '.join(splits)}")

    def read(row: Any) -> Iterator[Example]:
        if type(row) is not dict:
            raise Fault("", "is no ref; take the official file anew")
        if row.get("split") != split:
            return
        annotation, image = number_in(row, "ann_id"), number_in(row, "image_id")
        if annotation not in boxes:
            raise Fault("ann_id", f"{annotation} is not in {INSTANCES}; take both from the same data set")
        x1, y1, x2, y2 = boxes[annotation]
        if not (0 <= x1 < x2 < inf and 0 <= y1 < y2 < inf):
            raise Fault(
                "ann_id",
                f"the bbox of {annotation} in {INSTANCES} covers nothing, or has no end; take the official file anew",
            )
        name = images.named(f"COCO_train2014_{image:012d}", str(image), f"{image:012d}")
        fields = {
            "images": [name],
            "boxes": [
                _shares(boxes[annotation], sizes.get(image)) if images.has_shares(name) else boxes[annotation]
            ],
            "ref_id": number_in(row, "ref_id"),
            OFFICIAL: NAME,
        }
        category, sentences = row.get("category_id"), row.get("sentences")
        category = categories.get(category) if type(category) is int else None
        if type(sentences) is not list or not sentences:
            raise Fault(
                "sentences", f"{sentences!r:.60} is no list of sentences; take the official file anew"
            )
        for sentence in sentences:
            if type(sentence) is dict and sentence.get("sent") in ("", " "):
                left_out["its phrase is empty"] += 1
                continue
            example = {"id": number_in(sentence, "sent_id"), "texts": [text_in(sentence, "sent")]}
            yield example | ({"type": category} if category else {}) | fields

    return examples_of(refs, enumerate(rows, start=1), read, left_out, "entry")


def _refs(path: Path) -> list[Any]:
    try:
        rows = loads(path.read_bytes())
    except ImportFault as error:
        raise ExamplesError(f"{path}: {error}; take the official file anew") from None
    if type(rows) is not list or not rows:
        raise ExamplesError(f"{path}: is no list of refs; take the official file anew")
    return rows


def _boxes(instances: dict[str, Any], path: Path) -> dict[int, list[float]]:
    """The box of each annotation as corners."""
    found = {}
    for number, row in enumerate(instances["annotations"], start=1):
        try:
            x, y, width, height = map(float, row["bbox"])
            corners = x, y, round(x + width, 3), round(y + height, 3)
            found[number_in(row, "id")] = [max(0.0, corner) for corner in corners]
        except (KeyError, TypeError, ValueError, Fault):
            raise ExamplesError(
                f"{path}, entry {number} of annotations: no id, or no bbox of x, y, width, height "
                f"({json.dumps(row):.80}); take the official file anew"
            ) from None
    return found


def _names_of_categories(instances: dict[str, Any]) -> dict[int, str]:
    rows = _numbered(instances, "categories")
    return {row["id"]: row["name"] for row in rows if type(row.get("name")) is str}


def _sizes(instances: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Width and height of each image, as far as the file has them."""
    told = {row["id"]: (row.get("width"), row.get("height")) for row in _numbered(instances, "images")}
    return {image: size for image, size in told.items() if all(map(_is_length, size))}


def _is_length(given: Any) -> bool:
    return type(given) in (int, float) and 0 < given < inf


def _numbered(instances: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Of a list that a file may lack, those rows that have a number."""
    rows = instances.get(name)
    rows = rows if type(rows) is list else []
    return [row for row in rows if type(row) is dict and type(row.get("id")) is int]


def _shares(box: list[float], size: tuple[float, float] | None) -> list[float]:
    if size is None:
        raise Fault(
            "image_id",
            f"the data does not know its size, so that boxes are shares of it, nor does {INSTANCES}; take the "
            "official file anew, or features with sizes",
        )
    return [round(min(1.0, value / size[place % 2]), 6) for place, value in enumerate(box)]
