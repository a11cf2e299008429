"""What a file is that holds no features, and what is done with it: for those who brought it here."""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from interbert.sources.foreign_files.hdf5 import open_hdf5
from interbert.sources.foreign_files.signatures import Kind, kind_of, packing_of
from interbert.sources.images.containers.container import Fields
from interbert.sources.images.containers.listing import ENDINGS
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.record import ImportFault

_NAMES = 1000
_TABLES = (Kind.PARQUET, Kind.ARROW_FILE, Kind.ARROW_STREAM, Kind.TSV)
_SHOWN = 4
_HDF5 = b"\x89HDF"
_IMAGES = "images: `python -m interbert extract --images` computes features of them (docs/own_images.md)"


def what_else(path: Path) -> str:
    """In words, with what to do; `path` is of no known format of features."""
    known = _in_a_folder(path) if path.is_dir() else _in_a_file(path)
    return known or (
        f"{_begun(path)}; of no format that is known here: name the format where it is one all the same (`python -m "
        "interbert import --help` lists them, and how the official files of tasks come in)"
    )


def images_within(path: Path) -> bool:
    """Whether `extract` would find images in a table or a TSV."""
    try:
        return bool(open_containers([path], Fields()))
    except (ValueError, OSError):
        return False


def _in_a_folder(path: Path) -> str | None:
    names = [file.name for file in islice(path.rglob("*"), _NAMES) if file.is_file()]
    return f"a folder of {_IMAGES}" if _has_images(names) or images_within(path) else None


def _in_a_file(path: Path) -> str | None:
    kind = kind_of(path)
    if kind is Kind.IMAGE:
        return f"of {_IMAGES}"
    if _begins(path).startswith(_HDF5):
        return _hdf5(path)
    if kind in _TABLES and images_within(path):
        return f"{kind.value} of {_IMAGES}"
    if kind is Kind.PACKED:
        return f"packed by {packing_of(path)}, and no text within; unpack it and give what was in it"
    read = {Kind.TAR: _names_in_tar, Kind.ZIP: _names_in_zip}.get(kind)
    names = _some(read, path) if read else []
    if any(name.endswith("/data.pkl") for name in names):
        return "a file of PyTorch; save its arrays with numpy.savez, an image a file, and give their folder"
    if _has_images(names):
        return f"{kind.value} of {_IMAGES}"
    return f"{kind.value} of {_listed(names)}; unpack it and give its folder" if names else None


def _hdf5(path: Path) -> str | None:
    """Of one that can be opened what is in it; else what is wrong with it."""
    try:
        with open_hdf5(path) as file:
            return (
                f"HDF5 of {_listed(sorted(map(str, islice(file, _NAMES))))}; of no format that is known here"
            )
    except ImportFault as error:
        return f"{str(error).removeprefix(f'{path}: ')}; copy or download it again"
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        return f"a damaged HDF5 file ({error}); copy or download it again"


def _begun(path: Path) -> str:
    if path.is_dir():
        return f"a folder of {_listed(sorted(file.name for file in islice(path.iterdir(), _NAMES)))}"
    start = _begins(path)
    return f"it begins with {start!r}" if start else "it is empty"


def _begins(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(24)


def _some(read: Callable[[Path], Iterator[str]], path: Path) -> list[str]:
    try:
        return list(islice(read(path), _NAMES))
    except (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError):
        return []


def _names_in_tar(path: Path) -> Iterator[str]:
    with tarfile.open(path, "r:") as archive:
        yield from (member.name for member in archive if member.isfile())


def _names_in_zip(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        yield from (name for name in archive.namelist() if not name.endswith("/"))


def _has_images(names: Iterator[str] | list[str]) -> bool:
    return any(name.lower().endswith(ENDINGS) for name in names)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN]) or 'nothing'}{' …' if len(names) > _SHOWN else ''}"
