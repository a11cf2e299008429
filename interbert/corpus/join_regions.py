"""Two stores of the same images into one: the regions that somebody gave, and after them those that were detected."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.store.features_of import refuse_other_features
from interbert.store.writer import StoreWriter

MOST = 100
"""Regions of an image; of more, the last detected ones are left out, and of too many given ones the last of these."""
_IMAGES = 256
_TOLD = 5


def join_regions(
    given: Sequence[Path],
    detected: Sequence[Path],
    output: Path,
    most: int = MOST,
    texts: Mapping[str, list[str]] | None = None,
) -> dict[str, int]:
    """How many images, regions given and detected there are then, and captions. texts: captions of images."""
    with Corpus(given) as first, Corpus(detected) as second:
        partner_I = _partners(first, second)
        _refuse_strange_texts(texts or {}, first)
        evidence = _evidence_of(first, second)
        with StoreWriter(
            output,
            first.feature_width,
            classes=first.classes if evidence else 0,
            evidence=evidence,
            source="given and detected regions",
            class_names=first.class_names if evidence else None,
            features_of=second.features_of or first.features_of,
        ) as writer:
            counts = np.zeros(2, np.int64)
            for start in range(0, first.images, _IMAGES):
                images = np.arange(start, min(start + _IMAGES, first.images))
                counts += _add(writer, first, second, images, partner_I[images], most)
                for image in images.tolist() if texts else ():
                    if found := texts.get(first.image_id(image)):
                        writer.add_captions(image, found)
        return {
            "images": first.images,
            "given": int(counts[0]),
            "detected": int(counts[1]),
            "captions": writer.captions,
        }


def _partners(first: Corpus, second: Corpus) -> np.ndarray:
    """int64: the same image among the detected ones; ValueError where there is none, or it has other features."""
    names = ", ".join(str(path) for path in second.paths)
    if first.feature_width != second.feature_width:
        raise ValueError(
            f"{names}: features are {second.feature_width} wide, and the given ones {first.feature_width}; take both "
            "from one detector"
        )
    refuse_other_features("what is given", first.features_of, names, second.features_of)
    found = [_partner_of(name, second) for name in first.image_ids()]
    lacking = [first.image_id(image) for image, other in enumerate(found) if other is None]
    if lacking:
        told = ", ".join(lacking[:_TOLD]) + (", …" if len(lacking) > _TOLD else "")
        raise ValueError(
            f"{names}: nothing was detected in {len(lacking):,} of the {first.images:,} images that have given "
            f"regions: {told}; bring the features of the same images"
        )
    return np.array(found, np.int64)


def _refuse_strange_texts(texts: Mapping[str, list[str]], first: Corpus) -> None:
    """Texts may be of some of the images, but not of others: they would come to nothing without a word."""
    strange = [name for name in texts if first.image_of(name) is None]
    if strange:
        told = ", ".join(strange[:_TOLD]) + (", …" if len(strange) > _TOLD else "")
        raise ValueError(
            f"texts are told of {len(strange):,} images that have no given regions: {told} (one that has is "
            f"{first.image_id(0)}); import them with --data of the given regions"
        )


def _partner_of(name: str, second: Corpus) -> int | None:
    """UNITER's files of given regions have `gt` in their names."""
    image = second.image_of(name)
    return second.image_of(name.replace("_gt_", "_", 1)) if image is None and "_gt_" in name else image


def _evidence_of(first: Corpus, second: Corpus) -> str | None:
    """Class distributions where both have them, of the same classes."""
    alike = (first.evidence, first.classes) == (second.evidence, second.classes)
    return "class_probs" if alike and first.evidence == "class_probs" else None


def _add(
    writer: StoreWriter,
    first: Corpus,
    second: Corpus,
    images_I: np.ndarray,
    others_I: np.ndarray,
    most: int,
) -> tuple[int, int]:
    """How many given and detected regions."""
    given_I = np.minimum(first.region_counts[images_I], most)
    detected_I = np.minimum(second.region_counts[others_I], most - given_I)
    own, other = first.read(images_I, given_I), second.read(others_I, detected_I)
    sizes_I2 = second.sizes[others_I]
    scaled_R4 = own[1] * np.repeat(_scales(first.sizes[images_I], sizes_I2), given_I, axis=0)
    # Where each row of [given ; detected] goes: an image's given ones, and then its detected ones.
    order_R = np.argsort(
        np.concatenate([np.repeat(np.arange(len(images_I)), each) for each in (given_I, detected_I)]),
        kind="stable",
    )
    rows = {"features_RD": np.concatenate([own[0], other[0]])[order_R]}
    rows["boxes_R4"] = np.concatenate([scaled_R4.astype(np.float32), other[1]])[order_R]
    if writer.evidence:
        parts = [
            corpus.read_evidence(np.repeat(each_I, counts_I), _numbers(counts_I))[0]
            for corpus, each_I, counts_I in ((first, images_I, given_I), (second, others_I, detected_I))
        ]
        rows["class_probs_RK"] = np.concatenate(parts)[order_R]
    ids = [first.image_id(image) for image in images_I.tolist()]
    writer.add_images(ids, sizes_I2, given_I + detected_I, **rows)
    return int(given_I.sum()), int(detected_I.sum())


def _scales(from_I2: np.ndarray, to_I2: np.ndarray) -> np.ndarray:
    """float64 [I, 4]: what brings boxes of images of one size to those of another; 0, 0 is an image of size 1."""
    known = [np.where((sizes > 0).all(axis=1, keepdims=True), sizes, 1) for sizes in (to_I2, from_I2)]
    return np.tile(known[0] / known[1], 2)


def _numbers(counts_I: np.ndarray) -> np.ndarray:
    """0, 1, … of each image."""
    return np.arange(counts_I.sum()) - np.repeat(np.cumsum(counts_I) - counts_I, counts_I)
