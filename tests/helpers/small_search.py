"""A model that searches, and an index of small_world's images, in no time."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from random_model import small_config
from small_world import CLASSES, FEATURE_WIDTH, WordTokenizer, open_world

from interbert.inference.regions import ImageRegions
from interbert.model.interbert import InterBertForPreTraining
from interbert.search.encoder import Encoder
from interbert.search.index.build import about_of, add_stores
from interbert.search.index.index import Addition, Index
from interbert.search.requests import Options
from interbert.search.searcher import Searcher

WIDTH, HIDDEN = 32, 16


def write_searcher(
    folder: Path, heads: tuple[str, ...] = ("match", "search"), seed: int = 3, **override
) -> Encoder:
    """A model with random weights, written to folder/model."""
    config = small_config(WordTokenizer.vocab_size, CLASSES, FEATURE_WIDTH)
    for name, value in {"prediction_heads": list(heads), "search_width": WIDTH, **override}.items():
        setattr(config, name, value)
    model = InterBertForPreTraining.from_seed(config, seed).eval()
    model.save_pretrained(folder / "model")
    return Encoder(model)


def write_index(folder: Path, encoder: Encoder, images: int = 60) -> Path:
    open_world(folder, images=images).close()
    about = about_of(encoder, folder / "model", "fp32", 10, 12)
    with Index.create(folder / "index", about) as index:
        add_stores(index, encoder, [folder / "a.h5", folder / "b.h5"])
    return folder / "index"


def open_searcher(folder: Path, encoder: Encoder, options: Options = Options()) -> Searcher:  # noqa: B008
    of = {"path": str(folder / "model"), "sha256": "", "precision": "fp32", "device": "cpu", "longest": 12}
    return Searcher(Index.open(folder / "index"), encoder, WordTokenizer(), options, of)


def empty_index(path: Path, width: int = WIDTH) -> Index:
    """Of no model."""
    return Index.create(path, about(width))


def about(width: int = WIDTH) -> dict:
    return {
        "model": "m" * 64,
        "model_path": "/models/some",
        "vectors": "distilled" if width else None,
        "width": width,
        "hidden": HIDDEN,
        "precision": "fp32",
        "max_regions": 10,
        "max_text_tokens": 12,
        "feature_width": FEATURE_WIDTH,
        "features_of": None,
    }


def addition(number: int, id_: str | None = None, **more) -> Addition:
    """The same for the same number: 3 rows, a vector of length 1, regions of its own."""
    rng = np.random.default_rng(number)
    vector = rng.normal(size=WIDTH)
    return Addition(
        f"item-{number}" if id_ is None else id_,
        torch.from_numpy(rng.normal(size=(3, HIDDEN)).astype(np.float32)),
        (vector / np.linalg.norm(vector)).astype(np.float32),
        (200, 100),
        features_RD=rng.normal(size=(2, FEATURE_WIDTH)).astype(np.float16),
        boxes_R4=np.array([[0, 0, 100, 50], [10, 10, 200, 100]], np.float32),
        **more,
    )


def some_regions(seed: int = 0, regions: int = 4) -> ImageRegions:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((regions, 2, 2)) * (200, 100), axis=1)
    boxes = corners.reshape(regions, 4).astype(np.float32)
    return ImageRegions(rng.normal(size=(regions, FEATURE_WIDTH)).astype(np.float16), boxes, (200, 100))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
