"""A folder of images as data that can be imported: regions are computed batch by batch as they are asked for."""

from pathlib import Path

from interbert.sources.images.images import ImageError, find_images, image_id, open_image
from interbert.sources.images.vision import Vision
from interbert.sources.importers.record import ImageRecord

_AHEAD = 4
"""Batches read at a time: a detector finds images of one size among them."""


class ImageFolder:
    def __init__(self, folder: Path, vision: Vision) -> None:
        self.folder, self.vision = folder, vision
        self.files = find_images(folder)
        self.keys = self.files
        self.class_names = vision.class_names
        self._ready: dict[int, ImageRecord | ImageError] = {}

    def where(self, number: int) -> str:
        return str(self.files[number])

    def name(self, number: int) -> str | None:
        return image_id(self.folder, self.files[number])

    def read(self, number: int) -> ImageRecord:
        if number not in self._ready:
            self._ready = self._compute(
                range(number, min(number + _AHEAD * self.vision.choice.batch, len(self.files)))
            )
        found = self._ready.pop(number)
        if isinstance(found, ImageError):
            raise found
        return found

    def _compute(self, numbers: range) -> dict[int, ImageRecord | ImageError]:
        """Of some batches; the images that cannot be opened as what is wrong with them."""
        ready, images = {}, {}
        for number in numbers:
            try:
                images[number] = open_image(self.files[number])
            except ImageError as error:
                ready[number] = error
        if images:
            regions = self.vision.regions(list(images.values()))
            for (number, image), found in zip(images.items(), regions, strict=True):
                ready[number] = ImageRecord(
                    self.name(number), *image.size, found.boxes_N4, found.features_ND, found.class_probs_NK
                )
        return ready
