"""What is seen in files of features: layout, ids, columns, types, how many, and what is missing."""

from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.fields.numbers import is_text
from interbert.sources.features.fields.row import NAMES
from interbert.sources.features.looks.recognise import Seen
from interbert.sources.record import FeatureFiles, ImageRecord

_IDS = 3
_PARTS = {
    "class_probs_NK": "class distributions",
    "labels_N": "class labels",
    "confidence_N": "confidence",
    "attributes_N": "attributes",
}


def explain(seen: Seen, source: FeatureFiles, choices: Choices) -> list[str]:
    """Lines to print."""
    lines = [f"  layout    {seen.format}: {seen.what}", f"  rows      {len(source.keys):,}"]
    if not len(source.keys):
        return [*lines, "  missing   everything: there is no row"]
    try:
        row = source.row(0)
        lines += ["  columns"] + [f"    {name:<16} {_told(name, value)}" for name, value in row.items()]
        record = source.read(0)
    except ValueError as error:
        return [*lines, f"  the first row cannot be read: {source.where(0)}: {error}"]
    lines.append(f"  ids       {_ids(source, record)}")
    lines += [f"  regions   {text}" for text in _regions(record)]
    lines += [f"  note      {note}" for note in source.notes]
    return [*lines, f"  missing   {', '.join(_missing(record, source, choices)) or 'nothing'}"]


def _told(name: str, value: Any) -> str:
    ours = NAMES.get(name)
    use = f"read as {ours}" if ours else "not read"
    if name in ("caption", "captions", "sentences"):
        use = "read as captions"
    if is_text(value) and len(value) > 64:
        return f"{len(value):,} characters of text, {use}"
    if is_text(value):
        return f"{value.decode(errors='replace') if isinstance(value, bytes) else value!s}, {use}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{' x '.join(map(str, value.shape))} {value.dtype}, {use}"
    return f"{type(value).__name__} {value!r:.40}, {use}"


def _ids(source: FeatureFiles, record: ImageRecord) -> str:
    found = [record.image_id]
    for number in range(1, min(_IDS, len(source.keys))):
        try:
            found.append(source.read(number).image_id)
        except ValueError:
            continue
    return ", ".join(found) + (" …" if len(source.keys) > len(found) else "")


def _regions(record: ImageRecord) -> list[str]:
    features, boxes = record.features_ND, record.boxes_N4
    unit = f"pixels of {record.width} x {record.height}" if record.width else "shares of the image"
    lines = [f"{len(features)} of the first image, {features.shape[1]} wide, {features.dtype}"]
    lines.append(f"boxes {boxes.dtype} in {unit}")
    for name, told in _PARTS.items():
        value = getattr(record, name)
        if value is not None:
            wide = f" over {value.shape[1]} classes" if value.ndim == 2 else ""
            lines.append(f"{told}{wide}, {value.min():.4g} to {value.max():.4g} in the first image")
    if record.captions:
        lines.append(f"{len(record.captions)} captions of the first image: {record.captions[0]!r:.60}")
    return lines


def _missing(record: ImageRecord, source: FeatureFiles, choices: Choices) -> list[str]:
    lacking = {
        "sizes of the images (--sizes)": not record.width,
        "class evidence": record.class_probs_NK is None and record.labels_N is None,
        "confidence (regions stay in the file's order)": record.confidence_N is None,
        "class names (--class-names)": source.class_names is None and choices.class_names is None,
        "captions (--captions)": not record.captions,
    }
    return [name for name, lacks in lacking.items() if lacks]
