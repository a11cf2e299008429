"""Several stores into one."""

from pathlib import Path

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.store.format import ANY_ATTRIBUTES, ATTRIBUTE_ROWS
from interbert.store.writer import StoreWriter

_IMAGES = 512


def join_stores(paths: list[Path], output: Path) -> None:
    """One store with the images and captions of all, in their order; memory stays flat."""
    with Corpus(paths) as corpus:
        first = corpus.stores[0]
        kinds = {(store.has_attributes, str(store.attribute_names)) for store in corpus.stores}
        names = first.attribute_names if len(kinds) == 1 else None
        attributes = 0 if len(kinds) > 1 or not first.has_attributes else len(names or ()) or ANY_ATTRIBUTES
        with StoreWriter(
            output,
            corpus.feature_width,
            classes=corpus.classes,
            evidence=corpus.evidence,
            source=first.source,
            class_names=corpus.class_names,
            features_of=corpus.features_of,
            attributes=attributes,
            attribute_names=names,
        ) as writer:
            if corpus.class_head is not None:
                writer.set_class_head(*corpus.class_head)
            for store in corpus.stores:
                _add(store, writer, ATTRIBUTE_ROWS if attributes else ())


def _add(store, writer: StoreWriter, attributes: tuple[str, ...]) -> None:
    before = writer.images
    for start in range(0, store.images, _IMAGES):
        stop = min(start + _IMAGES, store.images)
        rows = int(store.offsets[start]), int(store.offsets[stop])
        given = {"class_probs": "class_probs_RK", "labels": "labels_R"}
        evidence = {given[name]: store.read_rows(name, *rows) for name in given if store.evidence == name}
        if store.evidence == "labels":
            evidence["confidence_R"] = store.read_rows("confidence", *rows)
        ids = list(map(bytes.decode, store.ids.block(start, stop)))
        for name, dataset in zip(("attributes_R", "attribute_confidence_R"), attributes, strict=False):
            evidence[name] = store.read_rows(dataset, *rows)
        writer.add_images(
            ids, store.sizes[start:stop], np.diff(store.offsets[start : stop + 1]),
            store.read_rows("boxes", *rows), store.read_rows("features", *rows), **evidence,
        )  # fmt: skip
    numbers = {}
    order = np.argsort(store.caption_image, kind="stable")
    for caption in order.tolist():
        kinds = [int(store.caption_kind[caption])]
        image = before + int(store.caption_image[caption])
        numbers[caption] = writer.add_captions(image, [store.caption_text(caption)], kinds)
    for swapped, caption in enumerate(store.swapped_caption.tolist()):
        writer.add_swapped(numbers[caption], store.swapped_text(swapped))
