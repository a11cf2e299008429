"""An image's regions as a picture for pages: SVG, with nothing from outside."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.printing import in_page
from interbert.show.overview import boxes_of, class_labels
from interbert.show.style import COLOURS

_LETTER, _LINE = 1.7, 3.6
"""About how wide a letter of a label is, and how high a line, in the picture's units: its longer side is 100."""


@dataclass(frozen=True)
class Scene:
    width: int
    height: int
    """0 where they are not known; boxes are then shares of 1."""
    boxes_R4: np.ndarray
    labels: list[str]


def read_scene(corpus: Corpus, image: int, most: int | None = None) -> Scene:
    """most: of its regions, the first ones."""
    count = int(corpus.region_counts[image])
    count = count if most is None else min(count, most)
    boxes_R4 = boxes_of(corpus, [image], [count])
    labels = class_labels(corpus, image, count) or [f"region {number}" for number in range(count)]
    return Scene(*corpus.sizes[image].tolist(), boxes_R4, labels)


def scene_svg(scene: Scene, answer: int | None = None, sought: Collection[np.ndarray] = ()) -> str:
    """answer: a region that is drawn over all others, which then stand back. sought: boxes drawn as dashes."""
    sides = np.array([scene.width or 1, scene.height or 1])
    scale = 100 / sides.max()
    order = [number for number in range(len(scene.labels)) if number != answer]
    order += [] if answer is None else [answer]
    written: list[tuple[float, float, float]] = []
    shapes = []
    for number in order:
        box, name = scene.boxes_R4[number] * scale, in_page(scene.labels[number])
        stands_back = answer is not None and number != answer
        kind = " class=back" if stands_back else " class=answer" if number == answer else ""
        shapes.append(_rect(box, f'{kind} style="stroke: var(--c{number % COLOURS})"', name))
        inside = (sides * scale)[0] - _LETTER * len(scene.labels[number]) - 0.6
        x, y = max(0.6, min(float(box[0]) + 0.6, inside)), float(box[1]) + 3.2
        if not stands_back and _has_room(written, x, y, len(scene.labels[number])):
            shapes.append(f'<text x="{x:.2f}" y="{y:.2f}">{name}</text>')
    shapes += [_rect(np.asarray(box) * scale, " class=sought", "what was sought") for box in sought]
    w, h = sides * scale
    return f'<svg class="scene" viewBox="0 0 {w:.2f} {h:.2f}" role="img">{"".join(shapes)}</svg>'


def _rect(box: np.ndarray, attributes: str, name: str) -> str:
    x, y, right, low = box.tolist()
    place = f'x="{x:.2f}" y="{y:.2f}" width="{right - x:.2f}" height="{low - y:.2f}"'
    return f"<rect {place}{attributes}><title>{name}</title></rect>"


def _has_room(written: list[tuple[float, float, float]], x: float, y: float, letters: int) -> bool:
    """Whether a label there would cover none before it; the names of all are shown where the mouse rests."""
    right = x + _LETTER * letters
    if any(x < end and left < right and abs(y - below) < _LINE for left, end, below in written):
        return False
    written.append((x, right, y))
    return True
