"""Files read out of archives (.tgz, .whl, .deb); nothing is written where an archive says."""

import gzip
import lzma
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
)


class ArchiveError(ValueError):
    """An archive that cannot be read to its end."""


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of its plain files that are wanted, in the archive's order."""
    read = {".whl": _of_zip, ".deb": _of_deb}.get(archive.suffix, _of_tgz)
    try:
        yield from read(archive, wanted)
    except _DAMAGED as error:
        raise ArchiveError(
            f"{archive}: cut or damaged ({type(error).__name__}: {error}); remove it and start again"
        ) from error


def unpack(archive: Path, folder: Path) -> None:
    """All of a wheel; whole, or not there."""
    if folder.is_dir():
        return
    partial = folder.with_name(f".{folder.name}.partial")
    for name, data in members(
        archive, lambda name: not Path(name).is_absolute() and ".." not in Path(name).parts
    ):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(data)
    partial.rename(folder)


def _of_tgz(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r:gz") as tar:
        yield from _of_tar(tar, wanted)


def _of_deb(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as unpacking:
        stream: BinaryIO = unpacking.stdout
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            yield from _of_tar(tar, wanted)
        stream.read()  # what pads the end, so that dpkg-deb is not cut off
        if unpacking.wait():
            raise OSError(unpacking.stderr.read().decode(errors="replace").strip())


def _of_tar(tar: tarfile.TarFile, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        name = member.name.removeprefix("./")
        if member.isreg() and wanted(name):
            yield name, tar.extractfile(member).read()


def _of_zip(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            if not name.endswith("/") and wanted(name):
                yield name, whole.read(name)
