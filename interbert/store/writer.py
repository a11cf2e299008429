"""Writing a store: rows are spooled to nameless files beside the target and laid out when the store closes.

A contiguous HDF5 dataset cannot grow, and one that was never written has no place in the file: so nothing is
given to HDF5 before all sizes are known. The spools have no name (the system frees them whatever happens to
the process), the store itself is written under a partial name, fsynced and renamed: it is whole or not there.
Features are most of it, so their spool leaves room before them for what HDF5 writes there, and becomes the store's
file where the system can name one that has none; the disk holds the other rows twice for a moment. Memory holds none
of them, only which ids are known (some 30 bytes an image).
"""

import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import xxhash

from interbert.store.checksums import row_checksums
from interbert.store.file import ROWS_AT, Content, write_file
from interbert.store.format import ATTRIBUTE_ROWS, EVIDENCE, FIELDS
from interbert.store.rows import RowShape, checked_rows, encode_ids
from interbert.store.spool import Names, Spool

_INDEX = (
    *("offsets", "sizes", "checksums"),
    *("captions/offsets", "captions/image", "captions/checksums", "captions/kind"),
    *("swapped/offsets", "swapped/caption", "swapped/checksums"),
)


class StoreWriter:
    """Writes one store; use it as a context manager, an exception inside leaves nothing behind.

    >>> with StoreWriter("cats.h5", feature_width=2048) as store:
    ...     image = store.add_image("cat-1", 640, 480, boxes_N4, features_ND)
    ...     store.add_captions(image, ["a cat on a mat"])
    """

    def __init__(
        self,
        path: str | Path,
        feature_width: int,
        *,
        classes: int = 0,
        evidence: str | None = None,
        source: str = "",
        class_names: Sequence[str] | None = None,
        features_of: str | None = None,
        attributes: int = 0,
        attribute_names: Sequence[str] | None = None,
    ):
        """features_of: the detector's name and what tells it apart (`features_of.py`), where that is known."""
        if feature_width < 1:
            raise ValueError(f"{path}: feature_width is {feature_width}; it must be at least 1")
        if evidence not in (None, *EVIDENCE):
            raise ValueError(f"{path}: evidence {evidence!r} is none of {', '.join(EVIDENCE)} and None")
        if evidence is not None and classes < 1:
            raise ValueError(f"{path}: evidence {evidence!r} needs the number of classes; give classes=")
        if class_names is not None and len(class_names) != classes:
            raise ValueError(f"{path}: {len(class_names)} class names for {classes} classes")
        if attribute_names is not None and len(attribute_names) != attributes:
            raise ValueError(f"{path}: {len(attribute_names)} attribute names for {attributes} attributes")
        # attributes: how many kinds of them there are, or ANY_ATTRIBUTES; 0: none are kept
        self.path = Path(path)
        self.feature_width, self.classes, self.evidence = feature_width, classes, evidence
        self._shape = RowShape(self.path, feature_width, classes, evidence, attributes)
        self.source, self.features_of = source, features_of
        self.class_names = None if class_names is None else [str(name) for name in class_names]
        self.attribute_names = None if attribute_names is None else [str(name) for name in attribute_names]
        self.images = self.captions = self.swapped = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._spools = {
            name: Spool(self.path.parent, FIELDS[name].dtype, ROWS_AT if name == "features" else 0)
            for name in (*_INDEX, *self._shape.datasets, "captions/text", "swapped/text")
        }
        for name in _INDEX:
            if name.endswith("offsets"):
                self._spools[name].add([0])
        self._names = Names(self.path.parent)
        self._ends = {"": 0, "captions": 0, "swapped": 0}
        """Rows, and bytes of texts, so far."""
        self._class_head: dict[str, np.ndarray] = {}

    def add_image(
        self,
        image_id: str,
        width: int,
        height: int,
        boxes_N4: np.ndarray,
        features_ND: np.ndarray,
        class_probs_NK: np.ndarray | None = None,
        labels_N: np.ndarray | None = None,
        confidence_N: np.ndarray | None = None,
        attributes_N: np.ndarray | None = None,
        attribute_confidence_N: np.ndarray | None = None,
    ) -> int:
        """Add an image with its regions, most confident first. Size 0, 0: unknown, boxes are shares of 1."""
        evidence = (class_probs_NK, labels_N, confidence_N, attributes_N, attribute_confidence_N)
        return self.add_images(
            [image_id], [(width, height)], [len(boxes_N4)], boxes_N4, features_ND, *evidence
        )

    def add_images(
        self,
        ids: Sequence[str],
        sizes_I2: np.ndarray | Sequence[tuple[int, int]],
        counts_I: np.ndarray | Sequence[int],
        boxes_R4: np.ndarray,
        features_RD: np.ndarray,
        class_probs_RK: np.ndarray | None = None,
        labels_R: np.ndarray | None = None,
        confidence_R: np.ndarray | None = None,
        attributes_R: np.ndarray | None = None,
        attribute_confidence_R: np.ndarray | None = None,
    ) -> int:
        """Add many images at once, their regions one image after another; returns the index of the first.

        Either all of them are added or, on a ValueError, none.
        """
        given: dict[str, np.ndarray | None] = {"features": features_RD, "boxes": boxes_R4}
        given |= {"class_probs": class_probs_RK, "labels": labels_R, "confidence": confidence_R}
        given |= dict(zip(ATTRIBUTE_ROWS, (attributes_R, attribute_confidence_R), strict=True))
        names = encode_ids(self.path, ids, self._names)
        sizes_I2 = np.asarray(sizes_I2, dtype=np.int64).reshape(-1, 2)
        counts_I = np.asarray(counts_I, dtype=np.int64)
        rows = checked_rows(self._shape, names, sizes_I2, counts_I, given)
        first = self.images
        ends_I = np.cumsum(counts_I)
        self._spools["checksums"].add(row_checksums(list(rows.values()), counts_I))
        for name, values in rows.items():
            self._spools[name].add(values.data if values.size else b"")
        self._spools["offsets"].add((ends_I + self._ends[""]).astype("<i8"))
        self._ends[""] += int(counts_I.sum())
        self._spools["sizes"].add(sizes_I2.astype("<i4"))
        self._names.add(names)
        self.images += len(names)
        return first

    def add_captions(self, image_index: int, texts: Iterable[str], kinds: Iterable[int] | None = None) -> int:
        """Add captions of an image (kind 1: checked to be true of it alone); returns the first index."""
        if not 0 <= image_index < self.images:
            raise ValueError(
                f"{self.path}: captions for image {image_index}, there are {self.images}; add the image first"
            )
        texts = list(texts)
        kinds = [0] * len(texts) if kinds is None else [int(kind) for kind in kinds]
        if len(kinds) != len(texts) or any(kind not in (0, 1) for kind in kinds):
            raise ValueError(
                f"{self.path}: image {image_index}: give a kind, 0 or 1, for each of {len(texts)} captions"
            )
        first = self.captions
        self._add_texts("captions", texts, f"caption of image {image_index}")
        self._spools["captions/image"].add([image_index] * len(texts))
        self._spools["captions/kind"].add(kinds)
        self.captions += len(texts)
        return first

    def add_swapped(self, caption_index: int, text: str) -> int:
        """Add a falsified version of a caption: like it, but for something that is untrue of the image."""
        if not 0 <= caption_index < self.captions:
            raise ValueError(
                f"{self.path}: a swapped caption of caption {caption_index}, but there are {self.captions}; "
                "add the caption first"
            )
        self._add_texts("swapped", [text], f"swapped caption of caption {caption_index}")
        self._spools["swapped/caption"].add([caption_index])
        self.swapped += 1
        return self.swapped - 1

    def set_class_head(self, weight_KD: np.ndarray, bias_K: np.ndarray) -> None:
        """The detector's last linear layer, from which class distributions can be recomputed."""
        weight_KD = np.ascontiguousarray(weight_KD, "<f4")
        bias_K = np.ascontiguousarray(bias_K, "<f4")
        expected = (self.classes, self.feature_width)
        if self.evidence != "class_head":
            raise ValueError(
                f"{self.path}: a class head, but evidence is {self.evidence!r}; open it with 'class_head'"
            )
        if weight_KD.shape != expected or bias_K.shape != expected[:1]:
            raise ValueError(
                f"{self.path}: class head of {weight_KD.shape} and {bias_K.shape}; it must be {expected} and "
                f"{expected[:1]}"
            )
        if not (np.isfinite(weight_KD).all() and np.isfinite(bias_K).all()):
            raise ValueError(
                f"{self.path}: the class head holds NaN or infinity; export it from the detector again"
            )
        self._class_head = {"class_head/weight": weight_KD, "class_head/bias": bias_K}

    def close(self) -> None:
        """Lay the file out and give it its name. `with` calls it; nothing is there before."""
        try:
            if self.images == 0:
                raise ValueError(
                    f"{self.path}: no image was added, and an empty store is of no use; nothing is written"
                )
            if self.evidence == "class_head" and not self._class_head:
                raise ValueError(f"{self.path}: evidence is 'class_head', but set_class_head was not called")
            self._lay_out()
        finally:
            self._discard()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()

    def _discard(self) -> None:
        for spool in (*self._spools.values(), self._names):
            spool.close()

    def _add_texts(self, group: str, texts: list[str], what: str) -> None:
        try:
            encoded = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise ValueError(f"{self.path}: {what}: not valid Unicode ({error}); clean the text") from None
        if any(not text.strip() for text in encoded):
            raise ValueError(f"{self.path}: {what}: empty; leave empty captions out")
        if any(0 in text for text in encoded):
            raise ValueError(f"{self.path}: {what}: has a NUL in it; clean the text")
        ends = list(accumulate(map(len, encoded), initial=self._ends[group]))
        self._spools[f"{group}/offsets"].add(ends[1:])
        self._ends[group] = ends[-1]
        self._spools[f"{group}/checksums"].add(list(map(xxhash.xxh3_64_intdigest, encoded)))
        self._spools[f"{group}/text"].add(b"".join(encoded))

    def _lay_out(self) -> None:
        sizes = {"R": self._ends[""], "D": self.feature_width, "K": self.classes}
        sizes |= {"I": self.images, "J": self.images + 1, "4": 4, "2": 2}
        content: Content = {name: (values, values.shape) for name, values in self._class_head.items()}
        for name, spool in self._spools.items():
            dims = FIELDS[name].dims
            shape = tuple(sizes[letter] for letter in dims) if set(dims) <= set(sizes) else (len(spool),)
            if self.swapped or not name.startswith("swapped/"):
                content[name] = spool, shape
        attributes = {"feature_width": self.feature_width, "classes": self.classes, "source": self.source}
        if self.features_of:
            attributes["features_of"] = self.features_of
        if self.class_names is not None:
            attributes["class_names"] = json.dumps(self.class_names, ensure_ascii=False)
        if self.attribute_names is not None:
            attributes["attribute_names"] = json.dumps(self.attribute_names, ensure_ascii=False)
        write_file(self.path, attributes, self._names, content, "features")
