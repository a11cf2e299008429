"""Several stores into one."""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from interbert.corpus.corpus import Corpus
from interbert.store.format import ANY_ATTRIBUTES, ATTRIBUTE_ROWS
from interbert.store.store import Store
from interbert.store.writer import StoreWriter

_IMAGES = 512


def join_stores(paths: list[Path], output: Path) -> None:
    """One store with the images and captions of all, in their order; memory holds the index of one at a time."""
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
            for path in (store.path for store in corpus.stores):
                with Store(path, checked=True) as store:  # for itself: what it holds in memory goes with it
                    _add(store, writer, ATTRIBUTE_ROWS if attributes else ())


def _add(store: Store, writer: StoreWriter, attributes: tuple[str, ...]) -> None:
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
    numbers_C = _add_captions(store, writer, before)
    for swapped, caption in enumerate(store.swapped_caption.tolist()):
        writer.add_swapped(int(numbers_C[caption]), store.swapped_text(swapped))


def _add_captions(store: Store, writer: StoreWriter, before: int) -> np.ndarray:
    """The captions image by image; int64 [C]: their numbers now. before: images that were there."""
    image_C, kind_C = store.caption_image, store.caption_kind
    order_C = np.argsort(image_C, kind="stable")
    in_order = bool((image_C[1:] >= image_C[:-1]).all())
    texts = store.texts() if in_order else map(store.caption_text, order_C.tolist())
    first = writer.captions
    for start, stop in pairwise([0, *(np.flatnonzero(np.diff(image_C[order_C])) + 1).tolist(), len(order_C)]):
        if start < stop:
            image, kinds = before + int(image_C[order_C[start]]), kind_C[order_C[start:stop]].tolist()
            writer.add_captions(image, list(islice(texts, stop - start)), kinds)
    numbers_C = np.empty(len(order_C), np.int64)
    numbers_C[order_C] = np.arange(first, first + len(order_C))
    return numbers_C
