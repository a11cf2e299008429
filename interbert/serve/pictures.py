"""Pixels of items, where something knows them: scenes can be drawn again."""

from __future__ import annotations

import io
import re
from functools import lru_cache

from interbert.search.looks import Look


def can_be_drawn(look: Look) -> bool:
    """A store of scenes says which they are. A stranger's item of such a name came from no store."""
    from interbert.sources.scenes.world import parse_image_id

    of = re.match(r"scenes seed=(\d+) split=(\w+) ", look.source or "")
    try:
        seed, split, _ = parse_image_id(look.id)
    except ValueError:
        return False
    return of is not None and (int(of[1]), of[2]) == (seed, split)


def picture_of(look: Look) -> bytes | None:
    """A PNG."""
    return _scene(look.id) if can_be_drawn(look) else None


@lru_cache(maxsize=256)
def _scene(image_id: str) -> bytes:
    from interbert.sources.scenes.picture import scene_background

    held = io.BytesIO()
    scene_background(image_id).save(held, "PNG")
    return held.getvalue()
