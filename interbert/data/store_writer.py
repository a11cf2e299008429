"""Writing a store: rows are spooled to nameless files beside the target and laid out once, when the store closes.

A contiguous HDF5 dataset cannot grow, and one that was never written has no place in the file: so nothing is
given to HDF5 before all sizes are known. The spools have no name (the system frees them whatever happens to the
process), the store itself is written under a partial name, fsynced and renamed: it is whole or not there.
Memory holds the index (some 200 bytes an image, 40 a caption), never the rows.
"""

import json
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import xxhash

from interbert.data import store_checks as checks
from interbert.data.store_file import write_file
from interbert.data.store_layout import EVIDENCE, EVIDENCE_ROWS, FIELDS

MAX_ID_BYTES = 255
_INDEX_OF_IMAGES = ("offsets", "sizes", "checksums")
_INDEX_OF_CAPTIONS = ("captions/offsets", "captions/image", "captions/checksums", "captions/kind")
_INDEX_OF_SWAPPED = ("swapped/offsets", "swapped/caption", "swapped/checksums")


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
    ):
        if feature_width < 1:
            raise ValueError(f"{path}: feature_width is {feature_width}; it must be at least 1")
        if evidence not in (None, *EVIDENCE):
            raise ValueError(f"{path}: evidence {evidence!r} is none of {', '.join(EVIDENCE)} and None")
        if evidence is not None and classes < 1:
            raise ValueError(f"{path}: evidence {evidence!r} needs the number of classes; give classes=")
        if class_names is not None and len(class_names) != classes:
            raise ValueError(f"{path}: {len(class_names)} class names for {classes} classes")
        self.path = Path(path)
        self.feature_width, self.classes, self.evidence = feature_width, classes, evidence
        self.source = source
        self.class_names = None if class_names is None else [str(name) for name in class_names]
        self.images = self.captions = self.swapped = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = ("features", "boxes", *EVIDENCE_ROWS[evidence], "captions/text", "swapped/text")
        self._spools = {
            name: tempfile.TemporaryFile(dir=self.path.parent, buffering=1 << 20) for name in rows
        }
        self._ids: dict[bytes, int] = {}
        self._index = {
            name: array("Q" if name.endswith("checksums") else "q", [0] if name.endswith("offsets") else [])
            for name in _INDEX_OF_IMAGES + _INDEX_OF_CAPTIONS + _INDEX_OF_SWAPPED
        }
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
    ) -> int:
        """Add an image with its regions (by falling confidence); width and height 0: unknown, boxes are shares."""
        evidence = (class_probs_NK, labels_N, confidence_N)
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
    ) -> int:
        """Add many images at once, their regions one image after another; returns the index of the first.

        Either all of them are added or, on a ValueError, none.
        """
        given = {"features": features_RD, "boxes": boxes_R4}
        given |= {"class_probs": class_probs_RK, "labels": labels_R, "confidence": confidence_R}
        if self.evidence == "labels" and labels_R is not None and confidence_R is None:
            given["confidence"] = np.ones(len(labels_R), np.float32)
        sizes_I2 = np.asarray(sizes_I2, dtype=np.int64).reshape(-1, 2)
        counts_I = np.asarray(counts_I, dtype=np.int64)
        names = self._encode_ids(ids)
        rows = self._rows(given, names, counts_I)
        self._check(names, sizes_I2, counts_I, rows)
        first = self.images
        ends_I = np.cumsum(counts_I)
        self._index["checksums"].extend(row_checksums(list(rows.values()), counts_I))
        for name, values in rows.items():
            self._spools[name].write(values.data if values.size else b"")
        self._index["offsets"].frombytes((ends_I + self._index["offsets"][-1]).tobytes())
        self._index["sizes"].frombytes(sizes_I2.tobytes())
        self._ids.update(zip(names, range(first, first + len(names)), strict=True))
        self.images += len(names)
        return first

    def add_captions(self, image_index: int, texts: Iterable[str], kinds: Iterable[int] | None = None) -> int:
        """Add captions of an image (kind 1: checked to be true of that image alone); returns the first one's index."""
        if not 0 <= image_index < self.images:
            raise ValueError(
                f"{self.path}: captions for image {image_index}, but there are {self.images} images; add the image first"
            )
        texts = list(texts)
        kinds = [0] * len(texts) if kinds is None else [int(kind) for kind in kinds]
        if len(kinds) != len(texts) or any(kind not in (0, 1) for kind in kinds):
            raise ValueError(
                f"{self.path}: image {image_index}: kinds must be 0 or 1, one for each of {len(texts)} captions"
            )
        first = self.captions
        self._add_texts("captions", texts, f"caption of image {image_index}")
        self._index["captions/image"].extend([image_index] * len(texts))
        self._index["captions/kind"].extend(kinds)
        self.captions += len(texts)
        return first

    def add_swapped(self, caption_index: int, text: str) -> int:
        """Add a falsified version of a caption: like it but for something that makes it untrue of the image."""
        if not 0 <= caption_index < self.captions:
            raise ValueError(
                f"{self.path}: a swapped caption of caption {caption_index}, but there are {self.captions}; add it first"
            )
        self._add_texts("swapped", [text], f"swapped caption of caption {caption_index}")
        self._index["swapped/caption"].append(caption_index)
        self.swapped += 1
        return self.swapped - 1

    def set_class_head(self, weight_KD: np.ndarray, bias_K: np.ndarray) -> None:
        """The detector's last linear layer, from which class distributions are recomputed (evidence="class_head")."""
        weight_KD = np.ascontiguousarray(weight_KD, "<f4")
        bias_K = np.ascontiguousarray(bias_K, "<f4")
        expected = (self.classes, self.feature_width)
        if self.evidence != "class_head":
            raise ValueError(
                f"{self.path}: a class head, but evidence is {self.evidence!r}; open it with 'class_head'"
            )
        if weight_KD.shape != expected or bias_K.shape != expected[:1]:
            raise ValueError(
                f"{self.path}: class head of {weight_KD.shape} and {bias_K.shape}; must be {expected} and {expected[:1]}"
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
        for spool in self._spools.values():
            spool.close()

    def _encode_ids(self, ids: Sequence[str]) -> list[bytes]:
        names = [str(image_id).encode() for image_id in ids]
        for row, name in enumerate(names):
            if not name or len(name) > MAX_ID_BYTES or b"\0" in name:
                raise ValueError(
                    f"{self.path}: image {self.images + row}: id {ids[row]!r} must be 1 to {MAX_ID_BYTES} bytes of UTF-8 without NUL"
                )
        fresh = dict.fromkeys(names)
        double = next((name for name in fresh if name in self._ids), None)
        if len(fresh) != len(names):
            double = next(name for name in fresh if names.count(name) > 1)
        if double is not None:
            raise ValueError(
                f"{self.path}: duplicate image id {double.decode()!r}; give each image an id of its own"
            )
        return names

    def _rows(self, given: dict, names: list[bytes], counts_I: np.ndarray) -> dict[str, np.ndarray]:
        """The row arrays in the stored types and checksum order, their shapes checked."""
        if len(counts_I) != len(names) or (counts_I < 1).any():
            bad = int(np.flatnonzero(counts_I < 1)[0]) if (counts_I < 1).any() else None
            which = (
                f"image {names[bad].decode()!r} has no region"
                if bad is not None and bad < len(names)
                else "counts"
            )
            raise ValueError(
                f"{self.path}: {which}: every image needs a count of at least 1; leave such images out"
            )
        regions = int(counts_I.sum())
        widths = {"R": regions, "D": self.feature_width, "K": self.classes, "4": 4}
        rows = {}
        for name in ("features", "boxes", *EVIDENCE_ROWS[self.evidence]):
            field = FIELDS[name]
            shape = tuple(widths[letter] for letter in field.dims)
            if given[name] is None:
                raise ValueError(
                    f"{self.path}: image {names[0].decode()!r}: evidence is {self.evidence!r}, so give {name}"
                )
            values = np.asarray(given[name])
            if values.shape != shape:
                raise ValueError(
                    f"{self.path}: image {names[0].decode()!r}: {name} of shape {values.shape}, must be {shape}"
                )
            with np.errstate(over="ignore", invalid="ignore"):
                rows[name] = np.ascontiguousarray(values, dtype=field.dtype)
        for name in ("class_probs", "labels", "confidence"):
            if given[name] is not None and name not in rows:
                raise ValueError(f"{self.path}: {name} given, but the store's evidence is {self.evidence!r}")
        return rows

    def _check(self, names: list[bytes], sizes_I2: np.ndarray, counts_I: np.ndarray, rows: dict) -> None:
        if len(sizes_I2) != len(names):
            raise ValueError(f"{self.path}: {len(sizes_I2)} sizes for {len(names)} images")
        fault = checks.faulty_sizes(sizes_I2)
        if fault:
            raise ValueError(f"{self.path}: image {names[fault[0]].decode()!r}: {fault[1]}")
        faults = {
            "features": checks.faulty_features(rows["features"]),
            "boxes": checks.faulty_boxes(rows["boxes"], np.repeat(sizes_I2, counts_I, axis=0)),
        }
        if "class_probs" in rows:
            faults["class_probs"] = checks.faulty_probabilities(rows["class_probs"])
        if "labels" in rows:
            faults["labels"] = checks.faulty_labels(rows["labels"], rows["confidence"], self.classes)
        for dataset, fault in faults.items():
            if fault:
                ends_I = np.cumsum(counts_I)
                image = int(np.searchsorted(ends_I, fault[0], side="right"))
                region = fault[0] - int(ends_I[image] - counts_I[image])
                raise ValueError(
                    f"{self.path}: {dataset}: image {names[image].decode()!r}, region {region}: {fault[1]}; correct it or "
                    "leave the image out"
                )

    def _add_texts(self, group: str, texts: list[str], what: str) -> None:
        try:
            encoded = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise ValueError(f"{self.path}: {what}: not valid Unicode ({error}); clean the text") from None
        if any(not text.strip() for text in encoded):
            raise ValueError(f"{self.path}: {what}: empty; leave empty captions out")
        offsets = self._index[f"{group}/offsets"]
        for text in encoded:
            offsets.append(offsets[-1] + len(text))
        self._index[f"{group}/checksums"].extend(map(xxhash.xxh3_64_intdigest, encoded))
        self._spools[f"{group}/text"].write(b"".join(encoded))

    def _lay_out(self) -> None:
        arrays = {**self._class_head}
        for name in _INDEX_OF_IMAGES + _INDEX_OF_CAPTIONS + (_INDEX_OF_SWAPPED if self.swapped else ()):
            arrays[name] = np.asarray(self._index[name]).astype(FIELDS[name].dtype)
        arrays["sizes"] = arrays["sizes"].reshape(-1, 2)
        sizes = {"R": self._index["offsets"][-1], "D": self.feature_width, "K": self.classes, "4": 4}
        spools = {}
        for name, spool in self._spools.items():
            group = name.removesuffix("/text")
            if group == name:
                spools[name] = (spool, tuple(sizes[letter] for letter in FIELDS[name].dims))
            elif f"{group}/offsets" in arrays:
                spools[name] = (spool, (self._index[f"{group}/offsets"][-1],))
        attributes = {"feature_width": self.feature_width, "classes": self.classes, "source": self.source}
        if self.class_names is not None:
            attributes["class_names"] = json.dumps(self.class_names, ensure_ascii=False)
        write_file(self.path, attributes, list(self._ids), arrays, spools)


def row_checksums(rows: list[np.ndarray], counts_I: np.ndarray) -> list[int]:
    """xxh3_64 of each image's bytes: its rows of the first array, then of the second, and so on."""
    flat = [(values.reshape(-1).view(np.uint8).data, values.nbytes // max(len(values), 1)) for values in rows]
    digests, start = [], 0
    for count in counts_I.tolist():
        digest = xxhash.xxh3_64()
        for data, row_bytes in flat:
            digest.update(data[start * row_bytes : (start + count) * row_bytes])
        digests.append(digest.intdigest())
        start += count
    return digests
