"""A folder of images, with all folders in it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xxhash

from interbert.sources.images.containers.container import Fields, Found
from interbert.sources.images.containers.listing import Listing, refuse_long
from interbert.sources.images.containers.names import Names


class Folder:
    in_order = False

    def __init__(self, path: Path, fields: Fields, names: list[str], links: Sequence[str] = ()) -> None:
        """names: of files below it, in their order; links: to folders, that were not followed."""
        self.path = path
        self._listing = Listing(path, names, fields)
        self.ids, self.told = self._listing.ids, self._listing.told
        if links:
            self.told.append(told_of_links(links))
        self._images = Names(names[place] for place in self._listing.images.tolist())
        beside = np.unique(self._listing.beside)
        self._beside = {place: names[place] for place in beside[beside >= 0].tolist()}
        self._sizes, self.stamp = self._look([*self._images, *self._beside.values()])

    def where(self, number: int) -> str:
        return str(self.path / self._images[number])

    def size(self, number: int) -> int:
        return int(self._sizes[number])

    def read(self, number: int) -> Found:
        data = (self.path / self._images[number]).read_bytes()
        return Found(data, self._listing.captions(map(self._text, self._listing.beside_of(number))))

    def close(self) -> None:
        """Nothing is held open."""

    def _text(self, place: int) -> tuple[str, bytes]:
        path = self.path / self._beside[place]
        refuse_long(str(path), path.stat().st_size)
        return str(path), path.read_bytes()

    def _look(self, names: list[str]) -> tuple[np.ndarray, str]:
        """int64 [I]: bytes of the images' files; and the stamp of all."""
        sizes, digest = np.empty(len(names), np.int64), xxhash.xxh3_128()
        for number, name in enumerate(names):
            found = os.stat(self.path / name)
            sizes[number] = found.st_size
            digest.update(
                f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
            )
        return sizes[: len(self._images)], digest.hexdigest()


def told_of_links(links: Sequence[str]) -> str:
    return f"{len(links):,} links to folders, such as {links[0]}, are not followed"


def names_below(folder: Path, links: list[str]) -> Iterator[str]:
    """Of all plain files below it, with their folders. `links` is given those to folders, which are not followed."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{below}{entry.name}/")
                elif entry.is_file():
                    yield below + entry.name
                elif entry.is_dir():
                    links.append(below + entry.name)
