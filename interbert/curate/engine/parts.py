"""What a unit of work leaves: files, and a manifest that is written last. A unit is done when its manifest is there.

Each file is written under another name, forced to disk and renamed; the manifest has its size and hash. So a killed
worker costs its own unit and nothing else, and what was counted is counted once, whoever did it and when.
"""

import gzip
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from interbert.files import replaced, write_json


class Part:
    """Of the stage `stage`, number `number`, below the folder `work`."""

    def __init__(self, work: Path, stage: str, number: int) -> None:
        self.folder = work / stage
        self.number, self.stage = number, stage
        self.manifest_path = self.folder / f"{number:06d}.json"

    def path(self, name: str) -> Path:
        return self.folder / f"{self.number:06d}.{name}"

    @property
    def done(self) -> bool:
        return self.manifest_path.is_file()

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.manifest_path.read_text())

    def write_lines(self, name: str, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
        with replaced(self.path(name)) as partial, open(partial, "wb") as file, _packed(file) as packed:
            for row in rows:
                packed.write(
                    json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
                )
                packed.write(b"\n")

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        with gzip.open(self.path(name), "rb") as file:
            for line in file:
                yield json.loads(line)

    def write_array(self, name: str, array: np.ndarray) -> None:
        with replaced(self.path(name)) as partial, open(partial, "wb") as file:
            np.save(file, array, allow_pickle=False)

    def array(self, name: str) -> np.ndarray:
        return np.load(self.path(name), mmap_mode="r", allow_pickle=False)

    def finish(self, told: dict[str, Any], files: list[Path]) -> None:
        """told: counts, and whatever else is to be known of the unit."""
        kept = {path.name: {"bytes": path.stat().st_size, "xxh3": _hash(path)} for path in files}
        write_json(self.manifest_path, {**told, "files": kept})


@contextmanager
def _packed(file: io.BufferedWriter) -> Iterator[io.BufferedWriter]:
    """Without name and time, so that the same lines are the same bytes."""
    with gzip.GzipFile("", "wb", 1, file, mtime=0) as packed, io.BufferedWriter(packed, 1 << 16) as buffered:  # type: ignore[arg-type]
        yield buffered


def whole(part: Part, beside: Path | None = None) -> bool:
    """Whether the files that the manifest names are there, with their sizes. beside: where, if not in its folder."""
    if not part.done:
        return False
    try:
        files = part.manifest()["files"]
        return all(
            os.stat((beside or part.folder) / name).st_size == one["bytes"] for name, one in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
