"""Pictures of scenes: as they truly are, and with what the detector reported and the captions say."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from interbert.config import Language
from interbert.show.drawing import draw_regions, grid
from interbert.sources.scenes.detector import CHUNK, CLASS_NAMES, DEFAULT_REGIONS, detect
from interbert.sources.scenes.world import COLOURS, SHAPES, WINDOW, Scene, describe, parse_image_id, parts_of
from interbert.sources.scenes.write import Told, tell, window_of

_GROUND = (214, 221, 228)
_INK = (60, 66, 74)
_FINE = 3
"""How much larger a scene is drawn than it is shown, for smooth edges."""
_PAINTS = {
    "red": (214, 48, 49), "green": (39, 150, 82), "blue": (41, 98, 214), "yellow": (245, 205, 50),
    "purple": (136, 70, 190), "orange": (240, 130, 30), "black": (35, 35, 40), "white": (252, 252, 252),
}  # fmt: skip


@dataclass(frozen=True)
class Recalled:
    """All that is known of one scene, drawn again from its image id."""

    scene: Scene
    boxes_R4: np.ndarray
    class_probs_RK: np.ndarray
    told: Told


def recall(
    image_id: str,
    captions: int = 5,
    swapped: int = 0,
    regions: tuple[int, int] = DEFAULT_REGIONS,
    noise: float = 0.0,
    language: Language = "en",
) -> Recalled:
    """The scene with this id, and what a store written with these options says of it."""
    seed, split, index = parse_image_id(image_id)
    window, chunk = window_of(seed, split, index // WINDOW), index // CHUNK
    found = detect(window, chunk, regions)
    stop = int(found.counts_N[: index % CHUNK + 1].sum())
    rows = slice(stop - int(found.counts_N[index % CHUNK]), stop)
    *_, told = tell(window, chunk, index % CHUNK + 1, captions, swapped, noise, language)
    return Recalled(window.scene(index % WINDOW), found.boxes_R4[rows], found.class_probs_RK[rows], told)


def scene_background(image_id: str) -> Image.Image:
    """The scene with this id as a camera would see it; ValueError where the id is not a scene's."""
    seed, split, index = parse_image_id(image_id)
    return render(window_of(seed, split, index // WINDOW).scene(index % WINDOW))


def render(scene: Scene) -> Image.Image:
    canvas = Image.new("RGB", (scene.width * _FINE, scene.height * _FINE), _GROUND)
    draw = ImageDraw.Draw(canvas)
    for kind, box in zip(scene.kinds, scene.boxes, strict=True):
        colour, shape, _ = parts_of(kind)
        _paint(draw, SHAPES[shape], _PAINTS[COLOURS[colour]], [_FINE * x for x in box])
    return canvas.resize((scene.width, scene.height), Image.Resampling.LANCZOS)


def scene_picture(known: Recalled) -> Image.Image:
    """The truth beside what the detector reported, and the captions below."""
    scene, background = known.scene, render(known.scene)
    truth = draw_regions(
        scene.width,
        scene.height,
        np.array(scene.boxes),
        [describe(kind) for kind in scene.kinds],
        "\n".join([scene.image_id, *_true(known.told)]),
        background,
    )
    tops = known.class_probs_RK.argmax(axis=1)
    names = [
        f"{CLASS_NAMES[top]} {row[top]:.2f}" for top, row in zip(tops, known.class_probs_RK, strict=True)
    ]
    found = f"{len(names)} regions of the detector"
    reported = draw_regions(
        scene.width, scene.height, known.boxes_R4, names, "\n".join([found, *_false(known.told)]), background
    )
    return grid([truth, reported])


def _true(told: Told) -> list[str]:
    return [f"{_claim(told, place)}: {caption.text}" for place, caption in enumerate(told.captions)]


def _claim(told: Told, place: int) -> str:
    if told.noisy[place]:
        return "noisy"
    return "distinctive" if told.distinctive(place) else "true"


def _false(told: Told) -> list[str]:
    return [f"false: {caption.text}" for _, caption in told.swapped]


def _paint(draw: ImageDraw.ImageDraw, shape: str, paint: tuple[int, int, int], box: list[int]) -> None:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1

    def at(*shares: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x1 + x * width, y1 + y * height) for x, y in shares]

    line = 2 * _FINE
    if shape == "ball":
        draw.ellipse(box, paint, _INK, line)
    elif shape == "cube":
        draw.rectangle(box, paint, _INK, line)
    elif shape == "ring":
        draw.ellipse(box, paint, _INK, line)
        draw.ellipse([*at((0.28, 0.28))[0], *at((0.72, 0.72))[0]], _GROUND, _INK, line)
    elif shape == "cone":
        draw.polygon(at((0.5, 0), (1, 1), (0, 1)), paint, _INK, line)
    elif shape == "star":
        turns = [(pi * step / 5, 0.5 if step % 2 == 0 else 0.21) for step in range(10)]
        draw.polygon(at(*((0.5 + r * sin(t), 0.5 - r * cos(t)) for t, r in turns)), paint, _INK, line)
    else:
        low, high = 0.32, 0.68
        corners = ((low, 0), (high, 0), (high, low), (1, low), (1, high), (high, high))
        corners += ((high, 1), (low, 1), (low, high), (0, high), (0, low), (low, low))
        draw.polygon(at(*corners), paint, _INK, line)
