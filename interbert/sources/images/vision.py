"""Regions of images from a Hugging Face model: a detector's queries, or a patch encoder's grid.

Letters: B images, Q queries or patches, N regions kept, D width, K classes (the last one: no object).
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForObjectDetection
from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING

from interbert.sources.images.decode import Picture
from interbert.sources.images.encoder import Choice, Prepared, Regions
from interbert.sources.images.identity import features_of

NO_OBJECT = "no object"
GRID = 6
"""Cells a side, where nobody says how many."""


class VisionError(ValueError):
    """A model that regions cannot be had from."""


def load_vision(
    folder: Path, choice: Choice, device: torch.device, name: str = ""
) -> "Detector | PatchEncoder":
    """name: what the model is called; without, as its folder is."""
    name = name or folder.name
    try:
        config = AutoConfig.from_pretrained(folder)
        processor = AutoImageProcessor.from_pretrained(folder)
    except (OSError, ValueError, ImportError) as error:
        raise VisionError(
            f"{folder}: not a vision model with its preprocessor_config.json ({str(error).splitlines()[0]})"
        ) from None
    architectures = config.architectures or []
    if type(config) in MODEL_FOR_OBJECT_DETECTION_MAPPING and any("Detection" in a for a in architectures):
        model = AutoModelForObjectDetection.from_pretrained(folder)
        return Detector(model.eval().to(device), processor, choice, name)
    model = AutoModel.from_pretrained(folder)
    model = getattr(model, "vision_model", model)
    return PatchEncoder(model.eval().to(device), processor, choice, name)


class Detector:
    """DETR and its family: a region is a query, with its last hidden state, its box and its class distribution."""

    def __init__(self, model, processor, choice: Choice, name: str) -> None:
        self.model, self.processor, self.choice = model, processor, choice
        self.features_of = features_of(model, processor, name)
        names = model.config.id2label
        self.class_names = [str(names[k]) for k in sorted(names)] + [NO_OBJECT]
        if len(set(self.class_names)) < len(self.class_names) - 1:
            self.class_names = [*map(str, range(len(names))), NO_OBJECT]

    def wanted(self, width: int, height: int) -> tuple[int, int] | None:
        return resized(self.processor, width, height)

    def prepare(self, picture: Picture) -> Prepared:
        inputs = dict(self.processor(images=[picture.image], return_tensors="pt"))
        # An image alone is not padded, unless to a size that all are brought to.
        if bool(inputs.get("pixel_mask", torch.ones(1)).all()):
            inputs.pop("pixel_mask", None)
        return Prepared(picture.size, inputs)

    def regions(self, images: list[Prepared]) -> list[Regions]:
        """Images of one size at a time: padded beside a larger one, an image would have other features."""
        of_shape: dict[tuple, list[int]] = {}
        for number, one in enumerate(images):
            shape = tuple((name, value.shape) for name, value in one.inputs.items())
            of_shape.setdefault(shape, []).append(number)
        found: list[Regions | None] = [None] * len(images)
        for numbers in of_shape.values():
            for part in batched(numbers, self.choice.batch):
                regions = self._of_batch([images[n] for n in part])
                for number, one in zip(part, regions, strict=True):
                    found[number] = one
        return found

    @torch.inference_mode()
    def _of_batch(self, images: list[Prepared]) -> list[Regions]:
        joined = _joined(images)
        output = self.model(**{name: value.to(self.model.device) for name, value in joined.items()})
        probs_BQK = with_no_object(output.logits.float(), len(self.class_names)).cpu()
        boxes_BQ4 = output.pred_boxes.float().cpu()
        hidden_BQD = output.last_hidden_state[:, -boxes_BQ4.shape[1] :].float().cpu()
        return [
            self._of_image(image, *parts)
            for image, *parts in zip(images, probs_BQK, boxes_BQ4, hidden_BQD, strict=True)
        ]

    def _of_image(self, image: Prepared, probs_QK: Tensor, boxes_Q4: Tensor, hidden_QD: Tensor) -> Regions:
        confidence_Q = probs_QK[:, :-1].max(dim=1).values
        order_Q = confidence_Q.argsort(descending=True, stable=True)
        sure = int((confidence_Q >= self.choice.confidence).sum())
        kept_N = order_Q[: min(max(sure, self.choice.fewest), self.choice.most)]
        centre_N2, size_N2 = boxes_Q4[kept_N].split(2, dim=1)
        shares_N4 = torch.cat([centre_N2 - size_N2 / 2, centre_N2 + size_N2 / 2], dim=1).clamp(0, 1)
        boxes_N4 = shares_N4.numpy() * np.array([*image.size, *image.size], np.float32)
        return Regions(boxes_N4, hidden_QD[kept_N].numpy(), probs_QK[kept_N].numpy())


def with_no_object(logits_BQL: Tensor, classes: int) -> Tensor:
    """A distribution over the classes and "no object", whether the model has a logit for that or not."""
    if logits_BQL.shape[-1] == classes:
        return logits_BQL.softmax(-1)
    # One yes or no for each class: what they leave of 1 is that there is nothing.
    yes_BQK = logits_BQL.sigmoid()
    yes_BQK = yes_BQK / yes_BQK.sum(-1, keepdim=True).clamp(min=1)
    return torch.cat([yes_BQK, (1 - yes_BQK.sum(-1, keepdim=True)).clamp(min=0)], dim=-1)


class PatchEncoder:
    """ViT, CLIP's and DINO's encoders: a region is a cell of a grid over the whole image."""

    class_names = None

    def __init__(self, model, processor, choice: Choice, name: str) -> None:
        self.model, self.processor, self.choice = model, processor, choice
        self.features_of = features_of(model, processor, name)
        size, patch = getattr(model.config, "image_size", None), getattr(model.config, "patch_size", None)
        if not isinstance(size, int) or not isinstance(patch, int):
            raise VisionError(
                f"{name}: a {model.config.model_type}, neither an object detector nor an encoder of square "
                "patches (ViT, CLIP, DINO)"
            )
        self.size, self.side = size, size // patch
        self.grid = choice.grid or GRID
        if self.side < self.grid:
            raise VisionError(f"{name}: {self.side} patches a side; --grid {self.grid} must not be finer")

    def wanted(self, width: int, height: int) -> tuple[int, int] | None:
        return self.size, self.size

    def prepare(self, picture: Picture) -> Prepared:
        # The whole image, squeezed into the square: what a crop leaves out could not be described.
        square = {"height": self.size, "width": self.size}
        options = {"size": square, "do_center_crop": False, "do_resize": True}
        inputs = self.processor(images=[picture.image], return_tensors="pt", **options)
        return Prepared(picture.size, {"pixel_values": inputs["pixel_values"]})

    def regions(self, images: list[Prepared]) -> list[Regions]:
        return [one for part in batched(images, self.choice.batch) for one in self._of_batch(list(part))]

    @torch.inference_mode()
    def _of_batch(self, images: list[Prepared]) -> list[Regions]:
        output = self.model(pixel_values=_joined(images)["pixel_values"].to(self.model.device))
        patches_BQD = output.last_hidden_state[:, -(self.side**2) :].float()
        grid_BDSS = patches_BQD.transpose(1, 2).unflatten(2, (self.side, self.side))
        cells_BND = F.adaptive_avg_pool2d(grid_BDSS, self.grid).flatten(2).transpose(1, 2).cpu()
        shares_N4 = cells(self.grid, self.grid)
        return [
            Regions(shares_N4 * np.array([*image.size, *image.size], np.float32), cells_ND.numpy(), None)
            for image, cells_ND in zip(images, cells_BND, strict=True)
        ]


def resized(processor, width: int, height: int) -> tuple[int, int] | None:
    """What a processor brings an image to, rounded up; None: it does not say."""
    size = getattr(processor, "size", None)
    if not getattr(processor, "do_resize", False) or size is None:
        return None
    get = size.get if isinstance(size, dict) else lambda name: getattr(size, name, None)
    if get("height") and get("width"):
        return int(get("width")), int(get("height"))
    if not get("shortest_edge"):
        return None
    scale = get("shortest_edge") / min(width, height)
    if get("longest_edge"):
        scale = min(scale, get("longest_edge") / max(width, height))
    return math.ceil(width * scale), math.ceil(height * scale)


def _joined(images: list[Prepared]) -> dict[str, Tensor]:
    return {name: torch.cat([one.inputs[name] for one in images]) for name in images[0].inputs}


def batched(items: list, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def cells(rows: int, columns: int) -> np.ndarray:
    """float32 [N, 4]: the cells of a grid row by row, as shares of the image."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([column / columns, row / rows, (column + 1) / columns, (row + 1) / rows], axis=1).astype(
        np.float32
    )
