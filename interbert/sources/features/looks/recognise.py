"""Which format files are of, told by what is in them: a list of looks, the first that knows one answers."""

import codecs
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import lmdb

from interbert.sources.features.fields.row import NAMES, Row
from interbert.sources.features.layouts.image_files import files_of as files_of_images
from interbert.sources.features.layouts.image_files import row_of
from interbert.sources.features.layouts.parquet import files_of as table_files
from interbert.sources.features.layouts.scan_npy import arrays_in
from interbert.sources.features.layouts.tsv import columns_of, is_header
from interbert.sources.features.layouts.uniter import lmdb_of
from interbert.sources.features.layouts.vinvl_tsv import kind_of
from interbert.sources.features.looks.what_else import images_within, what_else
from interbert.sources.foreign_files import array_files, lmdb_files
from interbert.sources.foreign_files.hdf5 import open_hdf5
from interbert.sources.foreign_files.signatures import Kind
from interbert.sources.foreign_files.signatures import kind_of as kind_of_file
from interbert.sources.foreign_files.table_rows import ENDINGS, open_rows
from interbert.sources.foreign_files.text_files import CUT, Part, parts_of
from interbert.sources.record import MOST_BYTES, ImportFault
from interbert.store.format import SCHEMA


@dataclass(frozen=True)
class Seen:
    format: str | None
    """None: known, and nothing to import."""
    what: str
    """What was looked at and found."""


def recognise(inputs: list[Path]) -> Seen:
    """The format of all the inputs that are of features; ImportFault where nobody knows it, or there are several."""
    seen = [(path, found) for path in inputs if (found := look_at(path)) is not None]
    if not seen:
        raise ImportFault(f"{', '.join(map(str, inputs))}: {told_unknown(inputs[0])}")
    first, found = seen[0]
    for path, other in seen[1:]:
        if {found.format, other.format} - _ALIKE and other.format != found.format:
            raise ImportFault(
                f"{first} is {found.format} ({found.what}), and {path} is {other.format} ({other.what}): import "
                "those of one format at a time, into a store each; training takes several stores"
            )
    return found


def look_at(path: Path) -> Seen | None:
    for look in LOOKS:
        try:
            found = look(path)
        except _BROKEN:
            continue  # of another kind, or broken: whoever reads it in earnest says how
        if found is not None:
            return found
    return None


def told_unknown(path: Path) -> str:
    """What is of no known format, in words; of a folder whose content is of one, how to name that."""
    inside = sorted(path.iterdir())[:_CHILDREN] if path.is_dir() else []
    for child in inside:
        if not child.name.startswith(".") and (seen := look_at(child)) is not None and seen.format:
            return f"a folder with {child.name}, which is {seen.format} ({seen.what}): give what is in it, {path}/*"
    return what_else(path)


_CHILDREN = 3
"""Of a folder that are looked at."""
_ALIKE = {"image-files", "uniter-npz"}
"""Which are read by the same reader."""
_RECORDS = 4
"""Of an LMDB that are looked at, for the first may be broken."""
_TABLES = (Kind.PARQUET, Kind.ARROW_FILE, Kind.ARROW_STREAM)
_BROKEN = (ValueError, OSError, KeyError, RuntimeError, lmdb.Error, zipfile.BadZipFile)
"""What a file of another kind than it was taken for makes a reader say."""


def _is_lmdb(path: Path) -> bool:
    file = path / "data.mdb" if path.is_dir() else path
    return file.is_file() and _bytes(file, 20)[16:20] == lmdb_files.SIGNATURE


def _lmdb(path: Path) -> Seen | None:
    if path.is_dir() and not _is_lmdb(path) and list(path.glob("*/data.mdb")):
        path = lmdb_of(path)
    if not _is_lmdb(path):
        return None
    try:
        records = list(lmdb_files.first_records(path, _RECORDS))
    except ImportFault as error:
        return Seen(None, str(error).removeprefix(f"{path}: "))
    if not records:
        return Seen(None, "an LMDB without records")
    if records[0][1][:2] == b"PK":
        return Seen("uniter-lmdb", f"an LMDB of npz records (key {_shown(records[0][0])})")
    faults = []
    for key, value in records:
        try:
            item = lmdb_files.unpacked(value)
            break
        except ImportFault as error:
            faults.append(f"(key {_shown(key)}) cannot be read: {error}")
    else:
        return Seen(None, f"an LMDB whose first record {faults[0]}")
    how = "pickled" if lmdb_files.is_pickle(value) else "MessagePack"
    if isinstance(item, dict) and "norm_bb" in {lmdb_files.text_of(name) for name in item}:
        return Seen("uniter-lmdb", f"an LMDB of {how} dictionaries with norm_bb (key {_shown(key)})")
    if isinstance(item, dict) and "caption" not in {lmdb_files.text_of(name) for name in item}:
        return Seen("vilbert-lmdb", f"an LMDB of {how} dictionaries (key {_shown(key)})")
    size = f"lists of {len(item)}" if isinstance(item, list | tuple) else "dictionaries with a caption"
    return Seen("tensorpack-lmdb", f"an LMDB of {how} {size} (key {_shown(key)})")


def _hdf5(path: Path) -> Seen | None:
    if path.is_dir() or not h5py.is_hdf5(path):
        return None
    with open_hdf5(path) as file:
        if file.attrs.get("schema") in (SCHEMA, SCHEMA.encode()):
            return Seen(None, "a store of interbert's already: `python -m interbert inspect` shows it")
        if "image_features" in file:
            return Seen("butd-h5", f"HDF5 with the arrays {', '.join(file)}")
        name = next(iter(file), None)
        if name is not None and isinstance(file[name], h5py.Group) and "features" in file[name]:
            return Seen("volta-h5", f"HDF5 with a group an image (such as {name!r}: {', '.join(file[name])})")
        return None


def _table(path: Path) -> Seen | None:
    files = table_files(path)
    if not files or (path.is_file() and kind_of_file(path) not in _TABLES and path.suffix not in ENDINGS):
        return None
    try:
        with open_rows(files[0]) as rows:
            names = rows.schema.names
    except ImportFault:  # without pyarrow, or broken: who reads it says it
        names = ["features"]
    if not any(NAMES.get(name) == "features" for name in names):
        return None if images_within(path) else Seen(None, f"a table with {', '.join(names)}: no features")
    return Seen("hf-table", f"{len(files)} parquet or arrow files ({files[0].name})")


def _arrays(path: Path) -> Seen | None:
    """Folders of npz and npy, a single one, and SCAN's arrays of all images."""
    if path.is_dir() and (arrays := arrays_in(path)):
        return Seen("scan-npy", f"a folder of arrays of all images ({', '.join(one.name for one in arrays)})")
    files = files_of_images(path) if path.is_dir() or path.suffix in (".npy", ".npz") else []
    if not files:
        return None
    if files[0].suffix == ".npy":
        with open(files[0], "rb") as file:
            shape, _, kind = array_files.header_of(io.BytesIO(file.read(4096)))
        if len(shape) == 3 and shape[0] > 1 and not kind.hasobject and path.is_file():
            return Seen("scan-npy", f"an array of {' x '.join(map(str, shape))} {kind}")
    row = row_of(files[0])
    if "features" not in Row(row):
        return (
            Seen(None, f"{files[0].name} holds {', '.join(row)}: no features")
            if "boxes" in Row(row)
            else None
        )
    what = f"{len(files):,} files an image (such as {files[0].name}: {', '.join(row)})"
    return Seen("uniter-npz" if "norm_bb" in row else "image-files", what)


def _rows(path: Path) -> Seen | None:
    for part in parts_of([path]):
        try:
            first = _first_line(part)
        except CUT as error:
            return Seen(None, f"{part.name} cannot be read ({error}); copy or download it again")
        if is_header(first.split(b"\t")):
            told = first.decode(errors="replace").replace("\t", ", ")
            return Seen("bottom-up-tsv", f"{part.name}: tab-separated, by its header: {told}")
        if first.count(b"\t") in (1, 2):
            kind = kind_of(first)
            if kind != "sizes":
                return Seen("vinvl-tsv", f"{part.name}: tab-separated rows of an id and {kind}")
            continue
        columns, _ = columns_of(part.name, first)
        Row(dict(zip(columns, first.split(b"\t"), strict=True))).whole(
            "count"
        )  # others have so many columns too
        how = f"{len(columns)} columns, no header"
        return Seen("bottom-up-tsv", f"{part.name}: tab-separated, {how}: {', '.join(columns)}")
    return None


LOOKS: tuple[Callable[[Path], Seen | None], ...] = (_lmdb, _hdf5, _table, _arrays, _rows)


def _first_line(part: Part) -> bytes:
    with part.open() as file:
        return file.readline(MOST_BYTES).removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")


def _bytes(path: Path, count: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(count)


def _shown(key: bytes) -> str:
    return repr(key.decode(errors="replace"))[:60]
