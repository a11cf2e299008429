"""Phrases that name exactly one object of a scene, and its box."""

from typing import Any

from interbert.sources.scenes.captions import Draws
from interbert.sources.scenes.forms import phrase_of, related
from interbert.sources.scenes.world import Scene
from interbert.sources.scenes.worlds.pool import Pool
from interbert.sources.scenes.worlds.reference import Reference, only_referent, say_reference

_TRIES = 8


def draw_referring(pool: Pool, draws: Draws) -> list[dict[str, Any]]:
    """One line, or none: where the phrase names nothing alone, or no region shows the object."""
    number = draws.below(len(pool))
    scene = pool.scene(number)
    thing = draws.below(len(scene.kinds))
    shown_by = pool.showing(number, thing)
    reference = _draw_reference(scene, thing, draws)
    if reference is None or not shown_by:
        return []
    kind = "attributes" if reference.relation is None else "relation"
    text = draws.choice(("the {}", "{}")).format(say_reference(reference, draws))
    line = {"images": [scene.image_id], "texts": [text], "boxes": [list(scene.boxes[thing])], "type": kind}
    return [line | {"shown_by": sorted(shown_by)}]


def _draw_reference(scene: Scene, thing: int, draws: Draws) -> Reference | None:
    """Half of them need their relation: without it, it would be several things."""
    with_relation = draws.unit() < 0.5
    for _ in range(_TRIES):
        subject = phrase_of(scene.kinds[thing], *(draws.unit() < share for share in (0.5, 0.5, 0.2)))
        reference = Reference(subject)
        if with_relation:
            if only_referent(reference, scene) is not None:
                continue
            anchor = draws.below(len(scene.kinds))
            true = [r for r in range(4) if anchor != thing and related(scene, thing, r, anchor)]
            if not true:
                continue
            reference = Reference(subject, draws.choice(true), phrase_of(scene.kinds[anchor]))
        if only_referent(reference, scene) == thing:
            return reference
    return None
