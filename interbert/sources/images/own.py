"""Regions of images from an encoder of people's own: a function that they name gives it, docs/own_images.md says how.

Letters: B images, R regions, D width, Y and X rows and columns of a grid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from interbert.plugins import load_function
from interbert.sources.images.decode import Picture
from interbert.sources.images.encoder import Choice, Prepared, Regions
from interbert.sources.images.identity import features_of
from interbert.sources.images.vision import VisionError, batched, cells


@dataclass(frozen=True)
class OwnEncoder:
    """What the function gives."""

    name: str
    """What its features are called by."""
    model: torch.nn.Module
    """Whose weights tell its features from those of another; brought to the device, and into eval()."""
    size: tuple[int, int]
    """Width and height that images are squeezed into."""
    pixels: Callable[[Image.Image], Tensor]
    """Of an RGB image of that size, as the model takes one: without a first dimension. Called in threads."""
    encode: Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]
    """Of such, stacked: a grid [B, D, Y, X] over the whole image, whose cells are the regions; or regions [B, R, D]
    with their boxes [B, R, 4], left, top, right, bottom as shares of the image."""


def load_own(spec: str, choice: Choice, device: torch.device) -> "Own":
    """spec: FILE.py:FUNCTION, as the flag --encoder has it."""
    function = load_function(spec, "--encoder")
    try:
        given = function()
    except Exception as error:
        raise VisionError(f"--encoder {spec}: {type(error).__name__}: {error}") from error
    if not isinstance(given, OwnEncoder):
        raise VisionError(
            f"--encoder {spec} gives a {type(given).__name__}, not an interbert.sources.images.own.OwnEncoder"
        )
    return Own(given, choice, device, spec)


class Own:
    class_names = None

    def __init__(self, given: OwnEncoder, choice: Choice, device: torch.device, spec: str) -> None:
        self.given, self.choice, self._device, self._spec = given, choice, device, spec
        given.model.eval().to(device)
        self.features_of = features_of(
            given.model, SimpleNamespace(do_normalize=self._of_a_slope()), given.name
        )

    def wanted(self, width: int, height: int) -> tuple[int, int]:
        return self.given.size

    def prepare(self, picture: Picture) -> Prepared:
        image = picture.image.resize(self.given.size, Image.Resampling.BICUBIC)
        return Prepared(picture.size, {"pixels": self.given.pixels(image)[None]})

    def regions(self, images: list[Prepared]) -> list[Regions]:
        return [one for part in batched(images, self.choice.batch) for one in self._of_batch(part)]

    @torch.inference_mode()
    def _of_batch(self, images: list[Prepared]) -> list[Regions]:
        given = self.given.encode(torch.cat([one.inputs["pixels"] for one in images]).to(self._device))
        features_BRD, shares_BR4 = self._with_boxes(given, len(images))
        return [
            Regions(shares_R4 * np.array([*image.size, *image.size], np.float32), features_RD, None)
            for image, features_RD, shares_R4 in zip(images, features_BRD, shares_BR4, strict=True)
        ]

    def _with_boxes(
        self, given: Tensor | tuple[Tensor, Tensor], images: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 [B, R, D] and shares of the image [B, R, 4]."""
        if isinstance(given, Tensor) and given.ndim == 4:
            grid_BDYX = given.float()
            if self.choice.grid:
                self._refuse_finer(grid_BDYX)
                grid_BDYX = F.adaptive_avg_pool2d(grid_BDYX, self.choice.grid)
            features_BRD, shares_R4 = grid_BDYX.flatten(2).transpose(1, 2), cells(*grid_BDYX.shape[2:])
            return features_BRD.cpu().numpy(), np.broadcast_to(shares_R4, (images, *shares_R4.shape))
        shapes = [tuple(one.shape) for one in given] if isinstance(given, tuple) else [tuple(given.shape)]
        if len(shapes) != 2 or shapes[1] != (*shapes[0][:2], 4) or self.choice.grid:
            fault = "takes no --grid" if len(shapes) == 2 and self.choice.grid else "gives"
            raise VisionError(
                f"--encoder {self._spec} {fault} {' and '.join(map(str, shapes))}: a grid is [B, D, Y, X], regions "
                "are [B, R, D] with boxes [B, R, 4], and only a grid can be made coarser"
            )
        features_BRD, shares_BR4 = (one.float().cpu().numpy() for one in given)
        return features_BRD, shares_BR4.clip(0, 1)

    def _refuse_finer(self, grid_BDYX: Tensor) -> None:
        side = min(grid_BDYX.shape[2:])
        if self.choice.grid > side:
            raise VisionError(
                f"{self.given.name}: {side} cells a side; --grid {self.choice.grid} must not be finer"
            )

    def _of_a_slope(self) -> list:
        """What becomes of known pixels: features of pixels that are normalised otherwise are others."""
        width, height = self.given.size
        slope_YX = np.add.outer(np.arange(height), 2 * np.arange(width)) % 256
        image = Image.fromarray(np.stack([slope_YX, 255 - slope_YX, slope_YX // 2], -1).astype(np.uint8))
        return [round(value, 3) for value in self.given.pixels(image).double().flatten()[::97].tolist()]
