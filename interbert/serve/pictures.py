"""Pixels of items, where something knows them: own images by their ids, and scenes, which are drawn again."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.search.looks import Look

if TYPE_CHECKING:
    from interbert.sources.images.containers.container import Container

SIDE = 1024
"""Longest side of what is sent."""
KEPT = 256
"""Pictures that are not made again."""


class Pictures:
    def __init__(self, images: Sequence[Path] = ()) -> None:
        """images: folders, archives or tables, as `interbert extract --images` takes them, which gave items their
        ids."""
        self._containers: list[Container] = []
        self._place: dict[str, tuple[int, int]] = {}
        self._in_order = threading.Lock()
        self._own = lru_cache(maxsize=KEPT)(self._made)
        if images:
            self._open(images)

    def known(self, look: Look) -> bool:
        return look.id in self._place or _is_scene(look)

    def of(self, look: Look) -> tuple[bytes, str] | None:
        """An image's file and its type; ValueError where it is broken."""
        if look.id in self._place:
            return self._own(look.id), "image/jpeg"
        return (_scene(look.id), "image/png") if _is_scene(look) else None

    def close(self) -> None:
        for container in self._containers:
            container.close()

    def _open(self, images: Sequence[Path]) -> None:
        from interbert.sources.images.containers.container import Fields
        from interbert.sources.images.containers.recognise import open_containers
        from interbert.sources.images.source import prefixes

        self._containers = open_containers(list(images), Fields(beside=False))
        for number, (before, container) in enumerate(
            zip(prefixes(self._containers), self._containers, strict=True)
        ):
            self._place |= {f"{before}{name}": (number, place) for place, name in enumerate(container.ids)}

    def _made(self, id_: str) -> bytes:
        """Decoded within limits and made anew: no byte of a stranger's file goes to a browser."""
        from interbert.sources.images.decode import Limits, decoded

        number, place = self._place[id_]
        container = self._containers[number]
        if container.in_order:
            with self._in_order:
                data = container.read(place).data
        else:
            data = container.read(place).data
        held = io.BytesIO()
        with decoded(data, Limits(), _wanted) as picture:
            picture.image.thumbnail((SIDE, SIDE))
            picture.image.info.clear()  # of which comments would be written again
            picture.image.save(held, "JPEG", quality=85)
        return held.getvalue()


def _wanted(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _is_scene(look: Look) -> bool:
    """A store of scenes says which they are. A stranger's item of such a name came from no store."""
    from interbert.sources.scenes.world import parse_image_id

    of = re.match(r"scenes seed=(\d+) split=(\w+) ", look.source or "")
    try:
        seed, split, _ = parse_image_id(look.id)
    except ValueError:
        return False
    return of is not None and (int(of[1]), of[2]) == (seed, split)


@lru_cache(maxsize=KEPT)
def _scene(image_id: str) -> bytes:
    from interbert.sources.scenes.picture import scene_background

    held = io.BytesIO()
    scene_background(image_id).save(held, "PNG")
    return held.getvalue()
