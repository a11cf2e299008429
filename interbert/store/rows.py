"""What may be written: images and their rows, checked and brought into the stored types."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interbert.store import checks
from interbert.store.format import ATTRIBUTE_ROWS, EVIDENCE_ROWS, FIELDS
from interbert.store.halves import as_halves

MAX_ID_BYTES = 255

REMEDY = "; correct it or leave the image out"


@dataclass(frozen=True)
class RowShape:
    """What the rows of one store look like."""

    path: Path
    feature_width: int
    classes: int
    evidence: str | None
    attributes: int = 0
    """Kinds of attribute that the regions have; 0: none are kept."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """In checksum order."""
        attributes = ATTRIBUTE_ROWS if self.attributes else ()
        return ("features", "boxes", *EVIDENCE_ROWS[self.evidence], *attributes)

    def of(self, dataset: str, regions: int) -> tuple[int, ...]:
        sizes = {"R": regions, "D": self.feature_width, "K": self.classes, "4": 4}
        return tuple(sizes[letter] for letter in FIELDS[dataset].dims)


def encode_ids(path: Path, ids: Sequence[str], known: Container[bytes]) -> list[bytes]:
    """The ids as UTF-8, each new and fit to be stored."""
    names, seen = [], set()
    for image_id in ids:
        try:
            name = str(image_id).encode()
        except UnicodeEncodeError:
            name = b""
        if not name or len(name) > MAX_ID_BYTES or b"\0" in name:
            raise ValueError(
                f"{path}: image id {image_id!r} is not 1 to {MAX_ID_BYTES} bytes of UTF-8 without NUL"
            )
        if name in known or name in seen:
            raise ValueError(f"{path}: duplicate image id {image_id!r}; give each image an id of its own")
        names.append(name)
        seen.add(name)
    return names


def checked_rows(
    shape: RowShape, names: list[bytes], sizes_I2: np.ndarray, counts_I: np.ndarray, given: dict
) -> dict[str, np.ndarray]:
    """The row arrays in the stored types and in checksum order."""
    _check_images(shape.path, names, sizes_I2, counts_I)
    rows = _convert(shape, names, int(counts_I.sum()), given)
    faults = {
        "features": checks.faulty_features(rows["features"]),
        "boxes": checks.faulty_boxes(rows["boxes"], np.repeat(sizes_I2, counts_I, axis=0)),
    }
    if shape.evidence == "class_probs":
        faults["class_probs"] = checks.faulty_probabilities(rows["class_probs"])
    if shape.evidence == "labels":
        faults["labels"] = checks.faulty_labels(rows["labels"], rows["confidence"], shape.classes)
    if shape.attributes:
        attributes = (rows[name] for name in ATTRIBUTE_ROWS)
        faults["attributes"] = checks.faulty_labels(*attributes, shape.attributes)
    for dataset, fault in faults.items():
        if fault:
            ends_I = np.cumsum(counts_I)
            image = int(np.searchsorted(ends_I, fault[0], side="right"))
            region = fault[0] - int(ends_I[image] - counts_I[image])
            raise ValueError(
                f"{shape.path}: {dataset}: image {names[image].decode()!r}, region {region}: {fault[1]}{REMEDY}"
            )
    return rows


def _check_images(path: Path, names: list[bytes], sizes_I2: np.ndarray, counts_I: np.ndarray) -> None:
    if not len(sizes_I2) == len(counts_I) == len(names):
        raise ValueError(f"{path}: {len(names)} ids, but {len(sizes_I2)} sizes and {len(counts_I)} counts")
    empty = np.flatnonzero(counts_I < 1)
    if len(empty):
        name = names[empty[0]].decode()
        raise ValueError(f"{path}: image {name!r} has no region; leave images without regions out")
    fault = checks.faulty_sizes(sizes_I2)
    if fault:
        raise ValueError(f"{path}: image {names[fault[0]].decode()!r}: {fault[1]}")


def _convert(shape: RowShape, names: list[bytes], regions: int, given: dict) -> dict[str, np.ndarray]:
    where = f"{shape.path}: image {names[0].decode()!r}" + (
        f" and {len(names) - 1} more" if len(names) > 1 else ""
    )
    if shape.evidence == "labels" and given["confidence"] is None:
        given = {**given, "confidence": np.ones(regions, np.float32)}
    for name, values in given.items():
        if (values is not None) != (name in shape.datasets):
            verb = "give" if values is None else "do not give"
            what = "attributes are kept" if shape.attributes else "no attributes are kept"
            what = what if name in ATTRIBUTE_ROWS else f"the store's evidence is {shape.evidence!r}"
            raise ValueError(f"{where}: {verb} {name}: {what}")
    rows = {}
    for name in shape.datasets:
        values, expected = np.asarray(given[name]), shape.of(name, regions)
        if values.shape != expected:
            raise ValueError(f"{where}: {name} has shape {values.shape}, it must be {expected}")
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found and named by the checks
            kind = FIELDS[name].dtype
            rows[name] = as_halves(values) if kind == "<f2" else np.ascontiguousarray(values, kind)
        if kind == "<i4" and not np.array_equal(rows[name], values):
            row = int(np.flatnonzero(rows[name] != values)[0])
            raise ValueError(f"{where}: {name}: region {row}: {values[row]} is no number of a class")
    return rows
