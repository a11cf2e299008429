"""Images that look alike: the nearest in mean-pooled region features, from which fine-tuning takes negatives."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

from interbert.config import SetSettings
from interbert.files import replaced
from interbert.mining.mapped import map_rows

_SCHEMA, _VERSION = "interbert-neighbours", 1
_IMAGES = 256


class NeighbourError(ValueError):
    """A table of neighbours that cannot be used."""


@dataclass(frozen=True)
class NeighbourTable:
    rows: np.ndarray
    """int32 [images, top]: the images nearest to each, nearest first, then -1."""
    fingerprint: str
    """Of the corpus that it was mined from."""

    @property
    def content(self) -> str:
        """Of the table itself, wherever it lies."""
        return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(self.rows))


def neighbours_for(corpus: Any, sets: SetSettings) -> NeighbourTable | None:
    """The table that `sets` names, as far as it is asked for; None where nothing is."""
    if sets.near_images == 0:
        return None
    if not sets.near_table:
        raise NeighbourError(
            f"task.sets.near_images is {sets.near_images}, but near_table is empty: mine one with `python -m "
            "interbert mine --of images`, or set task.sets.near_images=0"
        )
    table = read_neighbours(sets.near_table, corpus)
    return replace(table, rows=table.rows[:, : sets.near_top])


def pooled_features(corpus: Any) -> np.ndarray:
    """float32 [images, D]: the mean of each image's region features, of length 1."""
    pooled_ID = np.empty((corpus.images, corpus.feature_width), dtype=np.float32)
    counts_I = np.asarray(corpus.region_counts)
    for start in range(0, corpus.images, _IMAGES):
        images = np.arange(start, min(start + _IMAGES, corpus.images))
        features_RD = np.empty((int(counts_I[images].sum()), corpus.feature_width), dtype=np.float16)
        features_RD, _ = corpus.read(images, counts_I[images], features_RD=features_RD)
        first = np.concatenate([[0], np.cumsum(counts_I[images])[:-1]])
        mean = np.add.reduceat(features_RD.astype(np.float32), first, axis=0) / counts_I[images, None]
        pooled_ID[images] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    return pooled_ID


def write_neighbours(path: Path, table: NeighbourTable) -> None:
    """Whole or not there."""
    with replaced(path) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(schema=_SCHEMA, version=_VERSION, fingerprint=table.fingerprint)
        file["neighbours"] = table.rows


def read_neighbours(path: str | Path, corpus: Any) -> NeighbourTable:
    """A table written by `write_neighbours`, refused if it is not of this corpus."""
    try:
        with h5py.File(path, "r") as file:
            schema, version = file.attrs.get("schema"), file.attrs.get("version")
            fingerprint = file.attrs.get("fingerprint")
            rows = map_rows(path, file, "neighbours", NeighbourError)
    except (OSError, KeyError) as error:
        raise NeighbourError(f"{path}: not a whole table of neighbours ({error}); mine it again") from None
    if (schema, version) != (_SCHEMA, _VERSION):
        raise NeighbourError(
            f"{path}: schema {schema!r}, version {version}; it must be {_SCHEMA!r}, {_VERSION}"
        )
    if fingerprint != corpus.fingerprint or len(rows) != corpus.images:
        raise NeighbourError(f"{path}: mined from other images than these ({corpus.images}); mine it again")
    if rows.max(initial=-1) >= corpus.images or rows.min(initial=-1) < -1:
        raise NeighbourError(f"{path}: names images beyond the {corpus.images} there are; mine it again")
    return NeighbourTable(rows, fingerprint)
