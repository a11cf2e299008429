"""From texts and images to what a model's forward takes.

Letters: B pairs, L words of the longest, R regions of the image with most, D width.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from transformers import AutoProcessor, BatchFeature, ProcessorMixin
from transformers.processing_utils import ProcessingKwargs
from transformers.utils.hub import cached_file

from interbert.adapter_folder import base_of
from interbert.batches.prepare import box_shares
from interbert.inference.regions import ImageRegions, regions_of_images, regions_of_store
from interbert.model.shape.configuration import InterBertConfig
from interbert.store.checks import faulty_boxes, faulty_features
from interbert.store.features_of import refuse_other_features
from interbert.tokenizer import Tokenizer, has_tokenizer, own_normalizer

Text = str | tuple[str, ...] | list[str]
"""One segment, or two."""
_OF_CONFIG = ("feature_width", "features_of", "global_token")
_TUNED_ON = "tuned_on.json"


class InterBertProcessor(ProcessorMixin):
    """Texts by the model's tokenizer, cut as in training; regions of arrays, of a store, or of images through a
    detector or encoder, rounded as stores keep them."""

    text_kwargs = {"padding": "longest", "return_tensors": "pt"}  # noqa: RUF012

    def __init__(
        self,
        tokenizer: Any = None,
        feature_width: int | None = None,
        max_text_tokens: int = 512,
        max_regions: int | None = None,
        global_token: str = "after_masking",
        features_of: str | None = None,
    ) -> None:
        self.feature_width = feature_width
        self.max_text_tokens = max_text_tokens
        self.max_regions = max_regions
        self.global_token = global_token
        self.features_of = features_of
        super().__init__(tokenizer)

    @property
    def model_input_names(self) -> list[str]:
        texts = ["input_ids", "token_type_ids", "attention_mask"]
        return [*texts, "region_features", "region_boxes", "region_mask", "add_global"]

    def __call__(
        self,
        text: Text | Sequence[Text] | None = None,
        regions: ImageRegions | Sequence[ImageRegions] | None = None,
        images: Any = None,
        detector: Any = None,
        image_ids: str | Sequence[str] | None = None,
        data: str | Path | Sequence[str | Path] | None = None,
        **kwargs: Unpack[ProcessingKwargs],
    ) -> BatchFeature:
        """text: a sentence or several, a pair of segments as a tuple. Of what images are known by, one: regions;
        images (files, Pillow's, arrays) with a detector, a directory's or the hub's name; image_ids of the stores
        `data`. As many of them as of texts, or one for all. Of transformers' other arguments: padding, max_length,
        return_tensors.
        """
        asked = self._merge_kwargs(**kwargs)["text_kwargs"]
        texts = None if text is None else _several(text, (str, tuple))
        found = self._regions(regions, images, detector, image_ids, data)
        if texts is None and found is None:
            raise ValueError("give text, regions of images, or both")
        if texts is not None and found is not None:
            texts, found = _alike(texts, found)
        inputs = {}
        if texts is not None:
            inputs |= self._of_texts(texts, asked["padding"], asked.get("max_length"))
        if found is not None:
            inputs |= self._of_images(found)
        made = BatchFeature(inputs, tensor_type=asked["return_tensors"])
        if found is not None and self.global_token != "none":
            made["add_global"] = True
        return made

    def _of_texts(
        self, texts: list[Text], padding: bool | str, max_length: int | None
    ) -> dict[str, np.ndarray]:
        longest = min(max_length or self.max_text_tokens, self.max_text_tokens)
        segments = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        # "[MASK]" and the like in a text are what someone wrote.
        words = Tokenizer(self.tokenizer, "the processor's tokenizer")
        rows, firsts = words.encode_segments(segments, longest)
        width = longest if padding == "max_length" else max(map(len, rows))
        if padding in (False, "do_not_pad") and len({len(row) for row in rows}) > 1:
            raise ValueError(f"padding={padding!r}, but the texts are of different lengths; leave it out")
        ids_BL = np.full((len(rows), width), words.pad_id, np.int64)
        types_BL, mask_BL = np.zeros_like(ids_BL), np.zeros_like(ids_BL)
        for number, (row, first) in enumerate(zip(rows, firsts, strict=True)):
            ids_BL[number, : len(row)], mask_BL[number, : len(row)] = row, 1
            types_BL[number, first : len(row)] = 1
        return {"input_ids": ids_BL, "token_type_ids": types_BL, "attention_mask": mask_BL}

    def _regions(self, regions: Any, images: Any, detector: Any, image_ids: Any, data: Any) -> Any:
        if sum(one is not None for one in (regions, images, image_ids)) > 1:
            raise ValueError("of regions, images and image_ids give one")
        if (images is None) != (detector is None) or (image_ids is None) != (data is None):
            raise ValueError("images come with a detector, image_ids with data")
        if images is not None:
            several = isinstance(images, Sequence) and not isinstance(images, str)
            return regions_of_images(images if several else [images], detector)
        if image_ids is not None:
            return regions_of_store(data, _several(image_ids, str))
        return None if regions is None else _several(regions, ImageRegions)

    def _of_images(self, found: list[ImageRegions]) -> dict[str, np.ndarray]:
        kept = [self._checked(one) for one in found]
        width = kept[0].features.shape[1]
        most = max(len(one.boxes) for one in kept)
        features_BRD = np.zeros((len(kept), most, width), np.float32)
        boxes_BR5, mask_BR = np.zeros((len(kept), most, 5), np.float32), np.zeros((len(kept), most), np.int64)
        for number, one in enumerate(kept):
            regions = len(one.boxes)
            features_BRD[number, :regions] = one.features
            shares_R5 = box_shares(one.boxes, np.array([regions]), np.array([one.size]))
            boxes_BR5[number, :regions], mask_BR[number, :regions] = shares_R5, 1
        return {"region_features": features_BRD, "region_boxes": boxes_BR5, "region_mask": mask_BR}

    def _checked(self, one: ImageRegions) -> ImageRegions:
        if not isinstance(one, ImageRegions):
            raise ValueError(
                f"regions of an image are interbert.ImageRegions(features, boxes, size=(width, height)), not a "
                f"{type(one).__name__}"
            )
        features, boxes = np.asarray(one.features), np.asarray(one.boxes)
        if features.ndim != 2 or boxes.shape != (len(features), 4):
            raise ValueError(
                f"regions have features [regions, width] and boxes [regions, 4]; these have {list(features.shape)} "
                f"and {list(boxes.shape)}"
            )
        if self.feature_width is not None and features.shape[1] != self.feature_width:
            raise ValueError(
                f"the regions' features are {features.shape[1]} wide, the model takes {self.feature_width}: use the "
                "detector (or the store) whose features it was trained on"
            )
        # Stores hold halves: an image means the same from a store and from its file.
        with np.errstate(over="ignore"):
            halves_RD = np.ascontiguousarray(features, np.float16)
        sizes_R2 = np.broadcast_to(np.array(one.size), (len(boxes), 2))
        fault = faulty_features(halves_RD) or faulty_boxes(boxes.astype(np.float32), sizes_R2)
        if fault is not None:
            raise ValueError(f"region {fault[0]} of an image: {fault[1]}")
        refuse_other_features("the model", self.features_of, "the image", one.features_of)
        return ImageRegions(halves_RD[: self.max_regions], boxes[: self.max_regions], one.size)

    @classmethod
    def get_processor_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a directory does not say of its processor follows from its model."""
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir() and not (folder / "processor_config.json").is_file():
            return _of_model(folder), kwargs
        said, rest = super().get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if "feature_width" not in said:  # published without a processor of its own
            said = _of_model(_published(str(pretrained_model_name_or_path), kwargs)) | said
        return said, rest

    @classmethod
    def _load_tokenizer_from_pretrained(
        cls, sub_processor_type: Any, pretrained_model_name_or_path: Any, subfolder: str = "", **kwargs: Any
    ) -> Any:
        """With all that its file says is done to a text before it is cut, as training has it. Of peft's adapters
        without one, that of their model."""
        name = _tokenizer_folder(pretrained_model_name_or_path)
        tokenizer = super()._load_tokenizer_from_pretrained(sub_processor_type, name, subfolder, **kwargs)
        own = own_normalizer(Path(name)) if Path(name).is_dir() else None
        if own is not None:
            tokenizer.backend_tokenizer.normalizer = own
        return tokenizer


def _tokenizer_folder(name: Any) -> Any:
    folder = Path(name)
    return name if not folder.is_dir() or has_tokenizer(folder) else base_of(folder) or name


def _published(name: str, kwargs: dict[str, Any]) -> Path:
    """Where what a hub tells of a model lies on this machine."""
    where = {
        key: kwargs[key] for key in ("cache_dir", "revision", "token", "local_files_only") if key in kwargs
    }
    cached_file(name, _TUNED_ON, _raise_exceptions_for_missing_entries=False, **where)
    config = cached_file(name, "config.json", **where)
    assert config is not None  # else it has raised
    return Path(config).parent


def _of_model(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        folder = base_of(folder) or folder
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else {}
    found = {name: config[name] for name in _OF_CONFIG if name in config}
    if "max_position_embeddings" in config:
        found["max_text_tokens"] = config["max_position_embeddings"]
    tuned_on = json.loads((folder / _TUNED_ON).read_text()) if (folder / _TUNED_ON).is_file() else {}
    limits = {name: tuned_on.get(name) for name in ("max_text_tokens", "max_regions")}
    return found | {name: limit for name, limit in limits.items() if limit is not None}


def _several(given: Any, one: Any) -> list[Any]:
    return [given] if isinstance(given, one) else list(given)


def _alike(texts: list[Any], images: list[Any]) -> tuple[list[Any], list[Any]]:
    """One of either is for all of the other."""
    pairs = max(len(texts), len(images))
    if len(texts) not in (1, pairs) or len(images) not in (1, pairs):
        raise ValueError(f"{len(texts)} texts and {len(images)} images: give as many, or one of either")
    return texts * (pairs // len(texts)), images * (pairs // len(images))


AutoProcessor.register(InterBertConfig, InterBertProcessor)
