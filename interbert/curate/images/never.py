"""Images that must not come, such as those that a model will be judged on: as files, or as hashes, one a line."""

import re
from pathlib import Path

import numpy as np
import xxhash

from interbert.curate.images.phash import SIDE, phash
from interbert.sources.images.containers.container import Fields, ImageError
from interbert.sources.images.containers.recognise import open_containers
from interbert.sources.images.decode import Limits, decoded

_HASH = re.compile(r"[0-9a-f]{16}")


def hashes_of(paths: list[Path]) -> np.ndarray:
    found: set[int] = set()
    for path in paths:
        if not path.exists():
            raise ValueError(f"--never {path}: no such file or folder")
        found |= _listed(path) if path.suffix in (".txt", ".phash") else _looked_at(path)
    return np.array(sorted(found), np.uint64)


def stamp(hashes: np.ndarray) -> str:
    return f"{len(hashes)} hashes, {xxhash.xxh3_64_hexdigest(hashes.tobytes())}"


def _listed(path: Path) -> set[int]:
    found = set()
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        word = line.split()[0].lower() if line.split() else ""
        if not word or word.startswith("#"):
            continue
        if not _HASH.fullmatch(word):
            raise ValueError(
                f"--never {path}, line {number}: {word[:40]!r} is no hash of 16 hexadecimal digits"
            )
        found.add(int(word, 16))
    return found


def _looked_at(path: Path) -> set[int]:
    found, limits = set(), Limits()
    for container in open_containers([path], Fields(beside=False)):
        try:
            for number in range(len(container.ids)):
                try:
                    data = container.read(number).data
                    with decoded(data, limits, lambda width, height: (2 * SIDE, 2 * SIDE)) as picture:
                        found.add(phash(picture.image))
                except ImageError as error:
                    raise ValueError(
                        f"--never {container.where(number)}: {error}; leave it out, or repair it"
                    ) from None
        finally:
            container.close()
    return found
