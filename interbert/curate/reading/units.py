"""What was named on the command line as units of work: an archive, a file of lines, so many files of a folder.

Units follow from the inputs alone, never from how many do the work.
"""

import gzip
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import xxhash

from interbert.curate.reading.arc import Arc
from interbert.curate.reading.lines import Lines, holds_pages
from interbert.curate.reading.records import Limits, Source
from interbert.curate.reading.saved import PAGES, Saved
from interbert.curate.reading.stored import Table, Tar, holds_images
from interbert.curate.reading.warc import Warc
from interbert.curate.settings import ReadingRules
from interbert.sources.foreign_files.signatures import Kind, is_image, kind_of

Form = Literal["warc", "arc", "lines", "saved", "tar", "table"]
_ZSTD, _LZ4, _GZIP = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x1f\x8b"
_ENDS = 1 << 16
"""Bytes at both ends of a file by which it is known again."""


@dataclass(frozen=True)
class Unit:
    form: Form
    path: str
    names: tuple[str, ...]
    """Of a folder: the files that belong to this unit. Not in its row, which every worker reads of every unit."""
    pages: bool
    """Whether pages are wanted, or images alone."""
    bytes: int
    digest: str

    def source(self, limits: Limits) -> Source:
        path = Path(self.path)
        if self.form == "saved":
            return Saved(path, self.names, limits, self.pages)
        return {"warc": Warc, "arc": Arc, "lines": Lines, "tar": Tar, "table": Table}[self.form](path, limits)

    def as_row(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "names"}

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "Unit":
        return cls(**row, names=())


def limits_of(rules: ReadingRules) -> Limits:
    return Limits(
        int(rules.max_page_mb * 1e6), int(rules.max_record_mb * 1e6), int(4e6 * rules.max_megapixels)
    )


def units_of(
    inputs: list[Path], images: list[Path], rules: ReadingRules, output: Path | None = None
) -> list[Unit]:
    """output: a folder that is none of the inputs, though it may lie in one of them."""
    left = output and output.resolve()
    found = [unit for path in inputs for unit in _of_path(path.absolute(), True, "--input", rules, left)]
    if not found:
        raise ValueError(f"--input {', '.join(map(str, inputs))}: no page there")
    found += [unit for path in images for unit in _of_path(path.absolute(), False, "--images", rules, left)]
    seen: dict[tuple, Unit] = {}
    for unit in found:
        seen.setdefault((unit.form, str(Path(unit.path).resolve()), unit.names, unit.pages), unit)
    return list(seen.values())


def _of_path(path: Path, pages: bool, flag: str, rules: ReadingRules, output: Path | None) -> Iterator[Unit]:
    if path.is_dir():
        yield from _of_folder(path, pages, rules, output)
        return
    if not path.is_file():
        raise ValueError(f"{flag} {path}: no such file or folder")
    form = form_of(path)
    if form is None or (form in ("tar", "table") and pages) or (form == "lines" and not pages):
        wanted = "WARC, ARC, lines of JSON, or a folder" if pages else "WARC, ARC, tar, parquet, or a folder"
        raise ValueError(f"{flag} {path}: not a file that is read here; give {wanted}")
    yield _of_file(path, form, pages)


def _of_folder(folder: Path, pages: bool, rules: ReadingRules, output: Path | None) -> Iterator[Unit]:
    """Archives, lines and tables one by one; pages and images by the thousand. Links are not followed."""
    loose = []
    for name in _files_below(folder, output):
        path = folder / name
        suffix = path.suffix.lower()
        if suffix in PAGES:
            loose.append(name)
            continue
        form = form_of(path)
        if form is None:
            if _starts_as_image(path):
                loose.append(name)
        elif form in (("warc", "arc", "lines") if pages else ("warc", "arc", "tar", "table")):
            if (form == "lines" and not holds_pages(path)) or (form == "table" and not holds_images(path)):
                continue
            yield _of_file(path, form, pages)
    size = rules.pages_of_a_unit
    for start in range(0, len(loose), size):
        names = tuple(loose[start : start + size])
        digest, total = xxhash.xxh3_64(), 0
        for name in names:
            own = (folder / name).stat().st_size
            total += own
            digest.update(f"{name}\0{own}\n".encode("utf-8", "surrogateescape"))
        yield Unit("saved", str(folder), names, pages, total, digest.hexdigest())


def _files_below(folder: Path, output: Path | None) -> list[str]:
    found = []
    for place, folders, names in os.walk(folder):
        if output is not None and Path(place).resolve() == output:
            folders.clear()
            continue
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in names:
            path = os.path.join(place, name)
            # No pipes and no devices: who opens one may wait for ever.
            if not name.startswith(".") and stat.S_ISREG(os.lstat(path).st_mode):
                found.append(os.path.relpath(path, folder))
    return sorted(found)


def form_of(path: Path) -> Form | None:
    """By what is in it, not by its name."""
    with open(path, "rb") as file:
        start = file.read(512)
    if start.startswith(_GZIP):
        try:
            with gzip.open(path, "rb") as packed:
                start = packed.read(512)
        except (OSError, EOFError, gzip.zlib.error):
            return "warc" if ".warc" in path.name else None
    if start.startswith((_ZSTD, _LZ4)):
        return "warc" if ".warc" in path.name else None
    if start.startswith(b"WARC/"):
        return "warc"
    if start.startswith(b"filedesc://"):
        return "arc"
    if start.lstrip().startswith(b"{"):
        return "lines" if ".json" in path.name else None
    return {Kind.TAR: "tar", Kind.PARQUET: "table"}.get(kind_of(path))  # type: ignore[return-value]


def _starts_as_image(path: Path) -> bool:
    with open(path, "rb") as file:
        return is_image(file.read(16))


def _of_file(path: Path, form: Form, pages: bool) -> Unit:
    return Unit(form, str(path), (), pages, path.stat().st_size, ends_of(path))


def ends_of(path: Path) -> str:
    """A hash of a file's size and both its ends."""
    size = path.stat().st_size
    digest = xxhash.xxh3_64(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()
