"""Captions as the web has them: some speak of another image, some have lost words."""

from interbert.sources.scenes.captions import Caption, Draws, vaguer
from interbert.sources.scenes.forms import Uniqueness, holds
from interbert.sources.scenes.tongues import from_parts, parts_of_text
from interbert.sources.scenes.world import WINDOW, Scene

_WORDS_LOST = 0.4


def disturbed(caption: Caption, scene: Scene, uniqueness: Uniqueness, draws: Draws) -> Caption:
    """In half of the cases a caption that is false of the scene, else the caption without some of its words."""
    if draws.unit() < 0.5:
        return _of_another(caption, scene, uniqueness, draws)
    return _with_gaps(caption, draws)


def _of_another(caption: Caption, scene: Scene, uniqueness: Uniqueness, draws: Draws) -> Caption:
    while True:
        form = vaguer(uniqueness.scene(draws.below(WINDOW)), draws)
        if not holds(form, scene):
            return Caption.of(form, draws.style(), caption.tongue)


def _with_gaps(caption: Caption, draws: Draws) -> Caption:
    words = parts_of_text(caption.tongue, caption.text)
    kept = [word for word in words if draws.unit() >= _WORDS_LOST]
    return caption._replace(text=from_parts(caption.tongue, kept or words[:1]))
