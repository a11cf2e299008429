"""UNITER's features: one compressed npz an image, in a folder or in an LMDB. The images' sizes are not in them."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.importers import safe_msgpack
from interbert.sources.importers.lmdb_source import LmdbSource, need
from interbert.sources.importers.record import ImageRecord, ImportFault, distributions


class NpzSource:
    """A folder of npz files, or several."""

    class_names = None

    def __init__(self, inputs: list[Path]) -> None:
        self.files = [path for folder in inputs for path in sorted(Path(folder).glob("*.npz"))]
        if not self.files:
            raise ImportFault(f"{', '.join(map(str, inputs))}: no file ends in .npz; give the folder of them")
        self.keys = self.files

    def where(self, number: int) -> str:
        return str(self.files[number])

    def name(self, number: int) -> str | None:
        return self.files[number].stem

    def read(self, number: int) -> ImageRecord:
        path = self.files[number]
        return _record(path.stem, _npz(path.read_bytes()), None)


def uniter_lmdb(inputs: list[Path]) -> LmdbSource:
    counts = _counts(inputs[0])

    def record_of(key: bytes, value: bytes) -> ImageRecord:
        name = key.decode()
        content = _npz(value) if value[:2] == b"PK" else safe_msgpack.loads(value)
        return _record(name.removesuffix(".npz"), content, counts.get(name))

    return LmdbSource(inputs, json.loads, record_of)


def _npz(data: bytes) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            # Some writers put their option `allow_pickle` into the file.
            return {name: file[name] for name in file.files if name != "allow_pickle"}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise ImportFault(f"not a readable npz of plain arrays ({error})") from None


def _counts(folder: Path) -> dict[str, int]:
    """How many boxes of each image to keep, where a file says so."""
    found = sorted(folder.glob("nbb_*.json")) if folder.is_dir() else []
    if len(found) > 1:
        raise ImportFault(f"{folder}: {', '.join(path.name for path in found)}; leave one of them there")
    return json.loads(found[0].read_text()) if found else {}


def _record(image_id: str, content: Any, count: int | None) -> ImageRecord:
    features, boxes = need(content, "features", "norm_bb")
    features, boxes = np.asarray(features)[:count], np.asarray(boxes, np.float32)[:count]
    if features.ndim != 2 or boxes.ndim != 2 or len(features) != len(boxes) or boxes.shape[1] < 4:
        raise ImportFault(f"features of {features.shape} and norm_bb of {boxes.shape} do not belong together")
    record = ImageRecord(image_id, 0, 0, boxes[:, :4], features)
    if "soft_labels" in content:
        record.class_probs_NK = distributions(np.asarray(content["soft_labels"])[:count], "soft_labels")
    return record
