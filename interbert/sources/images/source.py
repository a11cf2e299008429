"""Images as data that can be imported: read and decoded by threads ahead of the encoder, computed in batches."""

import os
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from interbert.sources.images.ahead import Ahead
from interbert.sources.images.containers.container import Container, Found, ImageError, reason_of
from interbert.sources.images.decode import Limits, decoded
from interbert.sources.images.encoder import Prepared, Regions, Vision
from interbert.sources.images.gate import Gate
from interbert.sources.record import ImageRecord

_AHEAD = 4
"""Batches computed at a time: a detector finds images of one size among them."""

_FEW, _TOLD = 4, 20
_NAMED = ("container", "containers")


@dataclass(frozen=True)
class _Read:
    found: Found
    gate: Gate
    taken: int
    """From the gate, to be given back when it is decoded."""


class ImageSource:
    """Use as a context manager: threads end with it."""

    def __init__(
        self,
        containers: Sequence[Container],
        vision: Vision,
        limits: Limits | None = None,
        threads: int = 1,
        end: int | None = None,
    ) -> None:
        """end: images from there on are not asked for here."""
        self.containers, self.vision = containers, vision
        self._limits = limits or Limits()
        self._first = [0, *accumulate(len(one.ids) for one in containers)]
        self._prefixes = prefixes(containers)
        self.files: list = []  # whose stamps the containers have
        self.keys = range(self._first[-1])
        self.class_names, self.attribute_names = vision.class_names, None
        self.seconds_of_encoder = 0.0
        self.images = 0
        """Encoded since it was opened."""
        self._end = len(self.keys) if end is None else end
        self._at_once = _AHEAD * vision.choice.batch
        # As many again as are computed at once: those are made ready meanwhile.
        self._ahead = Ahead(self._read, self._make, self._in_order, threads, 2 * self._at_once)
        self._ready: dict[int, ImageRecord | ImageError] = {}

    @property
    def stamp(self) -> list[str]:
        """Changes when a container does."""
        return [one.stamp for one in self.containers]

    def told(self) -> list[str]:
        """What is read, in words: of a few containers each, of many those that have something else to say."""
        first = self.containers[0].told
        parts = [(one, text) for one in self.containers for text in one.told]
        if len(self.containers) > _FEW:
            parts = [(self.containers[0], text) for text in first] + [
                (c, t) for c, t in parts if t not in first
            ]
        lines = [f"{one.path}: {text}" for one, text in parts[:_TOLD]]
        lines += [f"and {len(parts) - _TOLD:,} more such lines"] if len(parts) > _TOLD else []
        if self._prefixes[0]:
            lines.append(
                "several of these have images of one id: each id begins with where its image is from"
            )
        return [
            *lines,
            f"{len(self.keys):,} images in {len(self.containers):,} {_NAMED[len(self.containers) > 1]}",
        ]

    def where(self, number: int) -> str:
        container, within = self._place(number)
        return container.where(within)

    def name(self, number: int) -> str:
        container, within = self._place(number)
        return self._prefixes[self._container(number)] + container.ids[within]

    def read(self, number: int) -> ImageRecord:
        if number not in self._ready:
            self._ready = self._compute(
                range(number, min(number + self._at_once, max(self._end, number + 1)))
            )
        found = self._ready.pop(number)
        if isinstance(found, ImageError):
            raise found
        return found

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()
        for container in self.containers:
            container.close()

    def _container(self, number: int) -> int:
        return bisect_right(self._first, number) - 1

    def _place(self, number: int) -> tuple[Container, int]:
        place = self._container(number)
        return self.containers[place], number - self._first[place]

    def _in_order(self, number: int) -> bool:
        return self._place(number)[0].in_order

    def _read(self, number: int) -> "_Read | ImageError":
        container, within = self._place(number)
        gate = self._limits.waiting if container.in_order else self._limits.reading
        size, taken = container.size(within), 0
        try:
            self._refuse_large(size)
            taken = gate.take(size)
            found = container.read(within)
            if not size:
                self._refuse_large(len(found.data))
                taken = gate.take(len(found.data))
            return _Read(found, gate, taken)
        except Exception as error:  # whatever a damaged file or a disk makes a reader say
            gate.give_back(taken)
            return (
                error if isinstance(error, ImageError) else ImageError(f"cannot be read ({reason_of(error)})")
            )

    def _make(self, read: "_Read | ImageError") -> "tuple[Prepared, list[str]] | ImageError":
        if isinstance(read, ImageError):
            return read
        try:
            with decoded(read.found.data, self._limits, self.vision.wanted) as picture:
                return self.vision.prepare(picture), read.found.captions
        except ImageError as error:
            return error
        except Exception as error:
            return ImageError(f"the model's preprocessing does not take it ({reason_of(error)})")
        finally:
            read.gate.give_back(read.taken)

    def _refuse_large(self, size: int) -> None:
        if size > self._limits.file_bytes:
            raise ImageError(
                f"{size:,} bytes, more than an image of {self._limits.megapixels:g} million pixels has: not read; "
                "--max-megapixels N allows more"
            )

    def _compute(self, numbers: range) -> dict[int, ImageRecord | ImageError]:
        """Of some batches; the images that cannot be had as what is wrong with them."""
        made = {number: self._ahead.get(number, self._end) for number in numbers}
        ready = {number: one for number, one in made.items() if isinstance(one, ImageError)}
        good = {number: one for number, one in made.items() if number not in ready}
        began = time.perf_counter()
        regions = self._regions([prepared for prepared, _ in good.values()])
        self.seconds_of_encoder += time.perf_counter() - began
        self.images += len(good)
        for (number, (prepared, captions)), found in zip(good.items(), regions, strict=True):
            if isinstance(found, ImageError):
                ready[number] = found
                continue
            ready[number] = ImageRecord(
                self.name(number), *prepared.size, found.boxes_N4, found.features_ND, found.class_probs_NK,
                captions=captions,
            )  # fmt: skip
        return ready

    def _regions(self, images: list[Prepared]) -> list[Regions] | list[Regions | ImageError]:
        """Where a batch fails, one at a time: an image that the model does not take is a bad one."""
        if not images:
            return []
        try:
            return self.vision.regions(images)
        except torch.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError):
            alone = [self._alone(image) for image in images]
            if len(images) > 1 and all(isinstance(one, ImageError) for one in alone):
                raise  # it takes none: not the images are wrong
            return alone

    def _alone(self, image: Prepared) -> Regions | ImageError:
        try:
            return self.vision.regions([image])[0]
        except torch.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError) as error:
            return ImageError(f"the model does not take it ({reason_of(error)})")


def prefixes(containers: Sequence[Container]) -> list[str]:
    """What stands before the ids of each: nothing, or its name where several have the same ids."""
    if len(containers) == 1 or _all_differ(containers):
        return [""] * len(containers)
    paths = [str(one.path.absolute()) for one in containers]
    common = os.path.commonpath(paths)
    return [os.path.relpath(path, common).removesuffix(one.path.suffix if one.path.is_file() else "") + "/"
            for path, one in zip(paths, containers, strict=True)]  # fmt: skip


def _all_differ(containers: Sequence[Container]) -> bool:
    seen: set[str] = set()
    for container in containers:
        before = len(seen)
        seen.update(container.ids)
        if len(seen) < before + len(container.ids):
            return False
    return True
