"""Pictures that others send, through one detector or patch encoder: none is believed, and they are seen in turn."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from interbert.inference.regions import ImageRegions

if TYPE_CHECKING:
    from interbert.sources.images.encoder import Vision


class Uploads:
    def __init__(self, vision: Vision, megapixels: float = 32.0) -> None:
        """megapixels: of a picture, beyond which it is not decoded."""
        from interbert.sources.images.decode import Limits

        self._vision, self._limits, self._seeing = vision, Limits(megapixels), threading.Lock()

    @property
    def features_of(self) -> str | None:
        return self._vision.features_of

    def regions(self, data: bytes, who: str) -> ImageRegions:
        """Of the bytes of a JPEG, PNG, WebP, BMP, GIF or TIFF. ValueError where it is none, or too large."""
        from interbert.sources.images.containers.container import ImageError
        from interbert.sources.images.decode import decoded

        try:
            with decoded(data, self._limits, self._vision.wanted) as picture:
                prepared = self._vision.prepare(picture)
        except ImageError as error:
            raise ValueError(f"{who}: {error}") from None
        with self._seeing:
            (found,) = self._vision.regions([prepared])
        return ImageRegions(found.features_ND, found.boxes_N4, prepared.size, self.features_of)
