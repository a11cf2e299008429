"""A small random store for tests, written through StoreWriter; and a way to damage it through plain h5py."""

from pathlib import Path

import h5py
import numpy as np

from interbert.store.store import StoreWriter

WIDTH, CLASSES, SIZE = 16, 5, (64, 48)


def rows(rng: np.random.Generator, count: int, evidence: str | None = "class_probs") -> dict[str, np.ndarray]:
    """Arguments of add_image for an image of `count` regions."""
    corners = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4)
    given = {"boxes_N4": (corners * [*SIZE, *SIZE]).astype(np.float32)}
    given["features_ND"] = rng.normal(size=(count, WIDTH)).astype(np.float16)
    if evidence == "class_probs":
        probs = rng.random((count, CLASSES))
        given["class_probs_NK"] = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float16)
    if evidence == "labels":
        given["labels_N"] = rng.integers(0, CLASSES, count)
        given["confidence_N"] = rng.random(count).astype(np.float32)
    return given


def write_small(
    path: Path, images: int = 12, seed: int = 0, evidence: str | None = "class_probs", prefix: str = "image"
) -> Path:
    """Image i has 1 + i % 5 regions and i % 3 captions; the first caption of each has a swapped twin."""
    rng = np.random.default_rng(seed)
    classes = CLASSES if evidence else 0
    with StoreWriter(path, WIDTH, classes=classes, evidence=evidence, source="test") as store:
        if evidence == "class_head":
            store.set_class_head(rng.normal(size=(CLASSES, WIDTH)), rng.normal(size=CLASSES))
        for i in range(images):
            image = store.add_image(f"{prefix}-{i}", *SIZE, **rows(rng, 1 + i % 5, evidence))
            texts = [f"caption {number} of {prefix} {i} – ünïcode" for number in range(i % 3)]
            caption = store.add_captions(image, texts, kinds=[number % 2 for number in range(i % 3)])
            if texts:
                store.add_swapped(caption, f"swapped caption of {prefix} {i}")
    return path


def write_named(path: Path, *ids: str) -> Path:
    """Images of three regions, without captions."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, WIDTH, classes=CLASSES, evidence="class_probs", source="test") as store:
        for name in ids:
            store.add_image(name, *SIZE, **rows(rng, 3))
    return path


def edit(path: Path) -> h5py.File:
    """The file open for changes behind the store's back."""
    return h5py.File(path, "r+", locking=False)


def rewrite(path: Path, name: str, values: np.ndarray, **how) -> None:
    """Replace a dataset by another one of any shape, type and storage."""
    with edit(path) as file:
        del file[name]
        file.create_dataset(name, data=values, **how)
