"""Regions of one image, wherever they come from: arrays, a store, or a vision model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.inference.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    from interbert.sources.images.encoder import Prepared, Vision


@dataclass(frozen=True)
class ImageRegions:
    """What a detector or a patch encoder says of an image."""

    features: np.ndarray
    """[R, D]"""
    boxes: np.ndarray
    """[R, 4]: x1, y1, x2, y2 in pixels; where the size is 0, 0 as shares of 1."""
    size: tuple[int, int] = (0, 0)
    """Width and height."""
    features_of: str | None = None
    """The detector or encoder, where it is known."""


def regions_of_store(data: str | Path | Sequence[str | Path], image_ids: Sequence[str]) -> list[ImageRegions]:
    """Of images of a store (or of several), by their ids."""
    from interbert.corpus.corpus import Corpus

    paths = [data] if isinstance(data, str | Path) else list(data)
    with Corpus([Path(path) for path in paths]) as corpus:
        found = []
        for image_id in image_ids:
            image = corpus.image_of(image_id)
            if image is None:
                raise ValueError(f"{', '.join(map(str, paths))}: no image with id {image_id!r}")
            features_RD, boxes_R4 = corpus.read(np.array([image]), corpus.region_counts[[image]])
            assert features_RD is not None and boxes_R4 is not None
            size = tuple(corpus.sizes[image].tolist())
            found.append(ImageRegions(features_RD, boxes_R4, size, corpus.features_of))
        return found


def regions_of_images(images: Sequence[Any], detector: str | Vision) -> list[ImageRegions]:
    """Of files, Pillow's images, or arrays [height, width, 3] of bytes. detector: a directory or a name of the hub, a
    detector or a patch encoder."""
    vision = _vision(detector) if isinstance(detector, str | Path) else detector
    prepared = [_prepared(image, vision) for image in images]
    return [
        ImageRegions(found.features_ND, found.boxes_N4, one.size, vision.features_of)
        for one, found in zip(prepared, vision.regions(prepared), strict=True)
    ]


def _vision(name: str | Path) -> Vision:
    """From memory, unless the directory is another by now."""
    from interbert.hub import local_folder

    called = Path(name).resolve().name if Path(name).is_dir() else str(name)
    folder = local_folder(str(name)).resolve()
    return _loaded(folder, called, stamp_of(folder))


@lru_cache(maxsize=1)
def _loaded(folder: Path, called: str, stamp: Stamp) -> Vision:
    import torch

    from interbert.sources.images.encoder import Choice
    from interbert.sources.images.vision import load_vision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_vision(folder, Choice(), device, called)


def _prepared(image: Any, vision: Vision) -> Prepared:
    from PIL import Image

    from interbert.sources.images.containers.container import ImageError
    from interbert.sources.images.decode import Limits, Picture, decoded

    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    if not isinstance(image, str | Path):
        return vision.prepare(Picture(image.convert("RGB"), image.size))
    try:
        with decoded(Path(image).read_bytes(), Limits(), vision.wanted) as picture:
            return vision.prepare(picture)
    except (ImageError, OSError) as error:
        raise ValueError(f"{image}: {error}") from None
