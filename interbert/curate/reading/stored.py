"""Images that lie apart from their pages, each with its address: tars, and tables in parquet."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.curate.reading.records import Bad, Limits, RawImage, Record
from interbert.curate.reading.saved import address_of
from interbert.sources.foreign_files.signatures import is_image

_URL = ("url", "image_url", "URL", "TEXT_URL")
_IMAGE = ("jpg", "image", "bytes", "data", "image_bytes", "img", "png", "webp")
_BATCH = 64


class Tar:
    """As img2dataset and webdataset write them (7.jpg, and 7.json with its `url`); or of a folder host/path."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits

    def records(self) -> Iterator[Record]:
        try:
            members = self._members()
        except (tarfile.TarError, OSError, EOFError) as error:
            yield Bad(0, f"not a whole tar ({error})")
            return
        told = {name[: -len(".json")]: place for name, place in members.items() if name.endswith(".json")}
        with open(self._path, "rb") as file:
            for name, (offset, size) in members.items():
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

    def image(self, place: int, size: int) -> bytes:
        with open(self._path, "rb") as file:
            return os.pread(file.fileno(), size, place)

    def _members(self) -> dict[str, tuple[int, int]]:
        found = {}
        with tarfile.open(self._path, "r:") as archive:
            try:
                for member in archive:
                    archive.members = []  # it would keep them all
                    if member.isreg():
                        found[member.name.removeprefix("./")] = (member.offset_data, member.size)
            except (tarfile.TarError, EOFError):
                if not found:
                    raise
        return found


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

    def records(self) -> Iterator[Record]:
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
            for batch in file.iter_batches(_BATCH, columns=[url, image]):
                for address, cell in zip(batch[url].to_pylist(), batch[image].to_pylist(), strict=True):
                    data = _bytes(cell)
                    if isinstance(address, str) and data:
                        if len(data) > self._limits.image_bytes:
                            yield Bad(place, f"{address}: {len(data):,} bytes")
                        else:
                            yield RawImage(address, place, data)
                    place += 1

    def image(self, place: int, size: int) -> bytes:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self._path) as file:
            _, image = self._columns(file)
            before = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if place < before + rows:
                    column = file.read_row_group(group, columns=[image]).column(0)
                    return _bytes(column[place - before].as_py())[:size]
                before += rows
        raise ValueError(f"{self._path}: no row {place}; the file has changed")

    def _columns(self, file: Any) -> tuple[str, str]:
        names = file.schema_arrow.names
        url = next((n for n in _URL if n in names), None)
        image = next((n for n in _IMAGE if n in names), None)
        if url is None or image is None:
            raise ValueError(
                f"{self._path}: columns {', '.join(names)}; one of {', '.join(_URL)} and one of "
                f"{', '.join(_IMAGE)} are needed: rename yours"
            )
        return url, image


def _bytes(cell: Any) -> bytes:
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) else b""
