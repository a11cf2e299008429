"""A tar: of a folder, or a shard as webdataset writes them, with image and captions of one name side by side."""

import os
import tarfile
from pathlib import Path

import numpy as np

from interbert.sources.images.containers.archive import Archive
from interbert.sources.images.containers.container import Fields, ImageError


class TarShard(Archive):
    def __init__(self, path: Path, fields: Fields) -> None:
        places = _places(path)
        super().__init__(path, list(places), fields)
        self._places = np.array(list(places.values()), np.int64).reshape(-1, 2)

    def size(self, number: int) -> int:
        return self.bytes_of(self.place_of(number))

    def bytes_of(self, place: int) -> int:
        return int(self._places[place, 1])

    def part(self, handle: int, place: int) -> bytes:
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
