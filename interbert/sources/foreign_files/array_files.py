"""npy and npz without code: plain arrays, and arrays of objects through the restricted unpickler."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from interbert.sources.foreign_files import safe_pickle
from interbert.sources.record import MOST_BYTES, ImportFault

SIGNATURE = npy.MAGIC_PREFIX
_BROKEN = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError)
_BROKEN += (RuntimeError,)  # encrypted


def read_npy(source: bytes | Path) -> Any:
    """The array; the object itself where it was a single one, such as a dictionary."""
    try:
        if isinstance(source, Path) and (size := source.stat().st_size) > MOST_BYTES:
            raise ImportFault(f"{size:,} bytes; {MOST_BYTES:,} are the most of an image")
        return _array(source.read_bytes() if isinstance(source, Path) else source)
    except ImportFault:
        raise
    except _BROKEN as error:
        raise ImportFault(f"not a readable npy ({error})") from None


def read_npz(source: bytes | Path) -> dict[str, Any]:
    """Every array, by name; but `allow_pickle`, which is an option that some writers took for an array."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
            names.pop("allow_pickle", None)
            size = sum(archive.getinfo(member).file_size for member in names.values())
            if size > MOST_BYTES:
                raise ImportFault(f"{size:,} bytes when unpacked; {MOST_BYTES:,} are the most of an image")
            return {name: _array(archive.read(member)) for name, member in names.items()}
    except ImportFault:
        raise
    except _BROKEN as error:
        raise ImportFault(f"not a readable npz of plain arrays ({error})") from None


def header_of(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran's order, type); the file is left where the numbers begin."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"npy of version {version}")
    try:
        return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    except (
        Exception
    ) as error:  # it is read as Python is, whose parser says whatever it likes of a damaged one
        raise ValueError(f"its header is damaged: {' '.join(str(error).split())[:100]}") from None


def _array(data: bytes) -> Any:
    file = io.BytesIO(data)
    shape, fortran, kind = header_of(file)
    if kind.hasobject:
        return _object(safe_pickle.loads(data[file.tell() :]))
    values = np.frombuffer(data, kind, offset=file.tell())
    size = int(np.prod(shape, dtype=np.int64))
    if values.size < size:
        raise ValueError(f"{values.size} of {size} numbers are there")
    return values[:size].reshape(shape, order="F" if fortran else "C")


def _object(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value
