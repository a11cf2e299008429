"""A tar: of a folder, or a shard as webdataset writes them, with image and captions of one name side by side."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from interbert.sources.images.containers.container import Fields, Found, ImageError
from interbert.sources.images.containers.listing import Listing, refuse_long
from interbert.sources.images.containers.names import Names
from interbert.sources.images.containers.stamp import stamp_of


class TarShard:
    in_order = False

    def __init__(self, path: Path, fields: Fields) -> None:
        self.path, self.stamp = path, stamp_of(path)
        places = _places(path)
        names = list(places)
        self._listing = Listing(path, names, fields)
        self.ids, self.told = self._listing.ids, self._listing.told
        self._names = Names(names)
        self._places = np.array(list(places.values()), np.int64).reshape(-1, 2)

    def where(self, number: int) -> str:
        return f"{self.path}, {self._names[int(self._listing.images[number])]}"

    def size(self, number: int) -> int:
        return int(self._places[self._listing.images[number], 1])

    def read(self, number: int) -> Found:
        handle = os.open(self.path, os.O_RDONLY)  # held open, thousands of shards would be too many
        try:
            data = self._part(handle, int(self._listing.images[number]))
            return Found(data, self._listing.captions(self._beside(handle, number)))
        finally:
            os.close(handle)

    def close(self) -> None:
        """Nothing is held open."""

    def _beside(self, handle: int, number: int) -> Iterator[tuple[str, bytes]]:
        for place in self._listing.beside_of(number):
            refuse_long(self._names[place], int(self._places[place, 1]))
            yield self._names[place], self._part(handle, place)

    def _part(self, handle: int, place: int) -> bytes:
        offset, size = self._places[place].tolist()
        data = os.pread(handle, size, offset)
        if len(data) < size:
            raise ImageError(f"the tar ends in the midst of it, after {len(data)} of {size} bytes")
        return data


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Name of a file in the tar -> offset, bytes. Of a name that comes twice, the last, as tar unpacks it."""
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # it would keep them all
                if member.isreg() and not member.issparse():
                    places[member.name.removeprefix("./")] = member.offset_data, member.size
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ImageError(f"{path}: not a whole tar ({error}); copy or download it again") from None
    return places
