"""What tars and zips have in common: many files in one, each at a known place, read by any number of threads."""

import os
from collections.abc import Iterator
from pathlib import Path

from interbert.sources.images.containers.container import Fields, Found
from interbert.sources.images.containers.listing import Listing, refuse_long
from interbert.sources.images.containers.names import Names
from interbert.sources.images.containers.stamp import stamp_of


class Archive:
    """Who inherits says where a file lies (`part`), and how large it is unpacked (`bytes_of`)."""

    in_order = False

    def __init__(self, path: Path, names: list[str], fields: Fields) -> None:
        self.path, self.stamp = path, stamp_of(path)
        self._listing = Listing(path, names, fields)
        self.ids, self.told = self._listing.ids, self._listing.told
        self._names = Names(names)

    def where(self, number: int) -> str:
        return f"{self.path}, {self._names[self.place_of(number)]}"

    def read(self, number: int) -> Found:
        handle = os.open(self.path, os.O_RDONLY)  # held open, thousands of shards would be too many
        try:
            data = self.part(handle, self.place_of(number))
            return Found(data, self._listing.captions(self._beside(handle, number)))
        finally:
            os.close(handle)

    def close(self) -> None:
        """Nothing is held open."""

    def place_of(self, number: int) -> int:
        """Of an image in the list of files."""
        return int(self._listing.images[number])

    def bytes_of(self, place: int) -> int:
        raise NotImplementedError

    def part(self, handle: int, place: int) -> bytes:
        raise NotImplementedError

    def _beside(self, handle: int, number: int) -> Iterator[tuple[str, bytes]]:
        for place in self._listing.beside_of(number):
            refuse_long(self._names[place], self.bytes_of(place))
            yield self._names[place], self.part(handle, place)
