"""A tar: of a folder, or a shard as webdataset writes them, with image and captions of one name side by side."""

import os
import tarfile
from pathlib import Path

import numpy as np

from interbert.sources.images.containers.archive import Archive
from interbert.sources.images.containers.container import Fields, ImageError


class TarShard(Archive):
    def __init__(self, path: Path, fields: Fields) -> None:
        places, lost = _places(path)
        super().__init__(path, list(places), fields)
        if lost:
            self.told.append(
                f"{len(lost):,} links to files that are not in it, such as {lost[0]}, are left out"
            )
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


def _places(path: Path) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Name of a file in the tar -> offset, bytes; and the links that lead out of it. Of a name that comes twice, the
    last, as tar unpacks it."""
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # it would keep them all
                name = member.name.removeprefix("./")
                if member.isreg() and not member.issparse():
                    places[name] = member.offset_data, member.size
                elif member.islnk():
                    links[name] = member.linkname.removeprefix("./")
                elif member.issym():
                    links[name] = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ImageError(f"{path}: not a whole tar ({error}); copy or download it again") from None
    whole = dict(places)
    places |= {name: whole[target] for name, target in links.items() if target in whole}
    return places, [name for name in links if name not in places]
