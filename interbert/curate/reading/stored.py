"""Images that lie apart from their pages, each with its address: tars, and tables in parquet."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from interbert.curate.reading.records import Bad, Begin, Limits, RawImage, Record, all_of_them
from interbert.curate.reading.saved import address_of
from interbert.sources.foreign_files.signatures import is_image

_URL = ("url", "image_url", "URL", "TEXT_URL")
_IMAGE = ("jpg", "image", "bytes", "data", "image_bytes", "img", "png", "webp")
_BATCH = 64
_BLOCK = 1 << 20


class Tar:
    """As img2dataset and webdataset write them (7.jpg, and 7.json with its `url`); or of a folder host/path."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        members, torn = self._members()
        told = {name[: -len(".json")]: place for name, place in members.items() if name.endswith(".json")}
        with open(self._path, "rb") as file:
            for name, (offset, size) in members.items():
                if not begin(offset, name):
                    continue
                if size > self._limits.image_bytes:
                    yield Bad(offset, f"{name}: {size:,} bytes")
                    continue
                data = os.pread(file.fileno(), size, offset)
                if len(data) < size:
                    yield Bad(offset, f"{name}: the tar ends in the midst of it")
                elif is_image(data):
                    beside = told.get(name.rpartition(".")[0])
                    url = beside and _url_in(os.pread(file.fileno(), min(beside[1], 1 << 20), beside[0]))
                    yield RawImage(url or address_of(name), offset, data)
        for start, end in torn:
            lost = "what is behind is lost" if end is None else f"{end - start:,} bytes are lost"
            yield Bad(start, f"the tar is torn or damaged there, and {lost}")

    def image(self, place: int, size: int) -> bytes:
        with open(self._path, "rb") as file:
            return os.pread(file.fileno(), size, place)

    def _members(self) -> tuple[dict[str, tuple[int, int]], list[tuple[int, int | None]]]:
        """Place and size of each; and from where to where nothing can be read: the library takes damage for the end,
        so members are looked for behind it."""
        found: dict[str, tuple[int, int]] = {}
        torn: list[tuple[int, int | None]] = []
        start: int | None = 0
        with open(self._path, "rb") as file:
            while start is not None:
                end = _add_members(file, start, found)
                if _is_end(file, end):
                    break
                start = _next_header(file, end)
                torn.append((end, start))
        return found, torn


def _add_members(file: IO[bytes], start: int, found: dict[str, tuple[int, int]]) -> int:
    """Where they end, or where one is damaged."""
    file.seek(start)
    archive = None
    try:
        archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 -- closing it would leave nothing undone
        for member in archive:
            archive.members = []  # it would keep them all
            if member.isreg():
                found[member.name.removeprefix("./")] = (member.offset_data, member.size)
    except Exception:  # whatever a damaged file makes the library say
        pass
    return start if archive is None else archive.offset


def _is_end(file: IO[bytes], place: int) -> bool:
    """Whether zeros begin there, and nothing else follows."""
    file.seek(place)
    block = file.read(_BLOCK)
    if len(block) < tarfile.BLOCKSIZE:
        return False
    while block and not block.strip(b"\0"):
        block = file.read(_BLOCK)
    return not block


def _next_header(file: IO[bytes], place: int) -> int | None:
    """Behind a place where one was looked for in vain."""
    size = tarfile.BLOCKSIZE
    place += size
    file.seek(place)
    while block := file.read(_BLOCK):
        for start in range(0, len(block), size):
            head = block[start : start + size]
            if head[257:262] == b"ustar" and _is_header(head):
                return place + start
        place += len(block)
    return None


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except Exception:  # whatever a damaged one makes the library say
        return False
    return True


def _url_in(told: bytes) -> str | None:
    try:
        url = json.loads(told).get("url")
    except (ValueError, AttributeError):
        return None
    return url if isinstance(url, str) else None


class Table:
    """Parquet with a column of addresses and one of images, as bytes or as Hugging Face's {bytes, path}."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._held: tuple[int, int, Any] = (0, 0, None)
        """First row and end of the group that was read last, and its images: neighbours are asked for."""

    def records(self, begin: Begin = all_of_them) -> Iterator[Record]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as error:
            yield Bad(0, f"not a whole parquet file ({error})")
            return
        with file:
            url, image = self._columns(file)
            place = 0
            try:
                for batch in file.iter_batches(_BATCH, columns=[url, image]):
                    for address, cell in zip(batch[url], batch[image], strict=True):
                        if (row := address.as_py()) and isinstance(row, str) and begin(place, row):
                            yield from self._look(row, place, _bytes(cell.as_py()))
                        place += 1
            except (pa.ArrowException, OSError) as error:
                why = " ".join(str(error).split())[:200]
                yield Bad(place, f"rows from {place} on cannot be read ({why})")

    def _look(self, url: str, place: int, data: bytes) -> Iterator[Record]:
        if len(data) > self._limits.image_bytes:
            yield Bad(place, f"{url}: {len(data):,} bytes")
        elif data:
            yield RawImage(url, place, data)

    def image(self, place: int, size: int) -> bytes:
        first, end, column = self._held
        if not first <= place < end:
            self._held = first, end, column = self._group_with(place)
        return _bytes(column[place - first].as_py())[:size]

    def _group_with(self, place: int) -> tuple[int, int, Any]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._path) as file:
            first, (_, image) = 0, self._columns(file)
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                if place < end:
                    return first, end, file.read_row_group(group, columns=[image]).column(0)
                first = end
        raise ValueError(f"{self._path}: no row {place}; the file has changed")

    def _columns(self, file: Any) -> tuple[str, str]:
        names = file.schema_arrow.names
        url, image = _named(names)
        if url is None or image is None:
            raise ValueError(
                f"{self._path}: columns {', '.join(names)}; one of {', '.join(_URL)} and one of "
                f"{', '.join(_IMAGE)} are needed: rename yours"
            )
        return url, image


def holds_images(path: Path) -> bool:
    """By its columns: a folder may hold tables of other things, such as what img2dataset says of its tars."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return None not in _named(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return True  # so that it is named as torn


def _named(names: list[str]) -> tuple[str | None, str | None]:
    found = [next((name for name in known if name in names), None) for known in (_URL, _IMAGE)]
    return found[0], found[1]


def _bytes(cell: Any) -> bytes:
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else b""
