"""UNITER's features: one npz an image, in a folder or in an LMDB. The images' sizes are not in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.layouts.lmdb_source import LmdbSource
from interbert.sources.foreign_files import safe_msgpack
from interbert.sources.foreign_files.array_files import read_npz
from interbert.sources.foreign_files.lmdb_files import text_of
from interbert.sources.record import ImportFault

_ALL = ("all", "all_compressed")
_SURE, _FEWEST, _MOST = 0.2, 10, 100
"""How UNITER's reader chooses where nothing beside an LMDB of all boxes says how many it keeps."""
Counter = Callable[[str, dict[str, Any]], int | None]


def uniter_lmdb(inputs: list[Path], choices: Choices) -> LmdbSource:
    """Of LMDBs, or of the folders of a split that hold one."""
    if len(inputs) != 1:
        raise ImportFault(
            f"{len(inputs)} inputs; give one of UNITER's LMDBs (several: import each into a store)"
        )
    lmdb = lmdb_of(inputs[0])
    count_of, files, told = _counter(lmdb)

    def row_of(key: bytes, value: bytes | memoryview) -> dict[str, Any]:
        name = text_of(key)
        row = dict(read_npz(bytes(value)) if value[:2] == b"PK" else _unpacked(value))
        kept = count_of(name, row)
        return row | {"image_id": name.removesuffix(".npz")} | ({} if kept is None else {"num_boxes": kept})

    source = LmdbSource([lmdb], choices, row_of, lambda key: text_of(key).removesuffix(".npz"))
    source.files += files
    source.notes += told
    return source


def _unpacked(value: bytes | memoryview) -> dict[str, Any]:
    found = safe_msgpack.loads(value)
    if not isinstance(found, dict):
        raise ImportFault(f"a {type(found).__name__}, not a dictionary")
    return found


def lmdb_of(path: Path) -> Path:
    """The LMDB at a path: itself, or of a split's folder the one with chosen boxes, else the one with all."""
    if not path.is_dir() or (path / "data.mdb").is_file():
        return path
    found = sorted(file.parent for file in path.glob("*/data.mdb"))
    chosen = [folder for folder in found if folder.name not in _ALL] or found
    if len(chosen) != 1:
        raise ImportFault(
            f"{path}: {', '.join(folder.name for folder in chosen) or 'no folder with data.mdb'} in it; give one LMDB"
        )
    return chosen[0]


def _counter(lmdb: Path) -> tuple[Counter, list[Path], list[str]]:
    """(how many boxes of an image are kept, the files that say it, what is to be told of it)"""
    folder = lmdb if lmdb.is_dir() else lmdb.parent
    name = folder.name.removesuffix("_compressed")
    found = sorted({*folder.glob("nbb_*.json"), *folder.parent.glob("nbb_*.json")})
    named = [path for path in found if path.stem.removeprefix("nbb_") == name.removeprefix("feat_")]
    found = named or (found if name in _ALL or not name.startswith("feat_") else [])
    if len(found) > 1:
        raise ImportFault(f"{folder}: {', '.join(path.name for path in found)}; leave one of them there")
    if found:
        return _counts_in(found[0]), found, [f"boxes: as many of an image as {found[0]} says"]
    if name.startswith("feat_numbb") and name.removeprefix("feat_numbb").isdigit():
        most = int(name.removeprefix("feat_numbb"))
        return (lambda _, row: min(most, len(row["features"]))), [], []
    if name not in _ALL:
        return (lambda *_: None), [], []
    told = f"boxes: of all, those surer than {_SURE}, {_FEWEST} to {_MOST} of an image, as UNITER's reader takes them"
    return _surest, [], [told]


def _counts_in(path: Path) -> Counter:
    try:
        counts = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ImportFault(f"{path}: not JSON ({error})") from None
    if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
        raise ImportFault(f"{path}: an object from NAME.npz to a number of boxes is expected")

    def count_of(name: str, _: dict[str, Any]) -> int:
        if name not in counts:
            raise ImportFault(f"{path} does not say how many of its boxes are kept")
        return counts[name]

    return count_of


def _surest(_: str, row: dict[str, Any]) -> int | None:
    if "conf" not in row:
        return None
    sure = int(np.count_nonzero(np.asarray(row["conf"]) > _SURE))
    return min(max(sure, _FEWEST), _MOST, len(row["conf"]))
