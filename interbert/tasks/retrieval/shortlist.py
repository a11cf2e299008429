"""A shortlist: which pairs are worth scoring, by vectors of images and captions that come from elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash

AT_ONCE = 2**24
"""Similarities that are held at a time."""


class ShortlistError(ValueError):
    """Vectors that do not fit the data."""


@dataclass(frozen=True)
class Shortlist:
    """Image i is to be scored with the captions captions_S[cu_I[i]:cu_I[i+1]], which ascend."""

    nearest: int
    cu_I: np.ndarray
    captions_S: np.ndarray
    captions: int

    @property
    def density(self) -> float:
        return len(self.captions_S) / max(1, (len(self.cu_I) - 1) * self.captions)

    def among(self, rows_B: np.ndarray, columns_E: np.ndarray) -> np.ndarray:
        """bool [B, E]: which pairs are on the list."""
        place_C = np.full(self.captions, -1)
        place_C[columns_E] = np.arange(len(columns_E))
        mask_BE = np.zeros((len(rows_B), len(columns_E)), bool)
        for row, image in enumerate(rows_B):
            places = place_C[self.captions_S[self.cu_I[image] : self.cu_I[image + 1]]]
            mask_BE[row, places[places >= 0]] = True
        return mask_BE

    def digest(self) -> bytes:
        return xxhash.xxh3_128(np.concatenate([self.cu_I, self.captions_S])).digest()

    def figures(self, image_of_C: np.ndarray, among_C: np.ndarray) -> dict[str, Any]:
        """What the list itself costs: a pair that is not on it cannot be found."""
        image_of_S = np.repeat(np.arange(len(self.cu_I) - 1), np.diff(self.cu_I))
        found_C = np.zeros(self.captions, bool)
        found_C[self.captions_S[image_of_C[self.captions_S] == image_of_S]] = True
        found_C, image_C = found_C[among_C], image_of_C[among_C]
        return {
            "nearest": self.nearest,
            "pairs": len(self.captions_S),
            "share_of_pairs": self.density,
            "true_pairs_inside": float(found_C.mean()),
            "images_with_a_true_caption_inside": len(np.unique(image_C[found_C])) / len(np.unique(image_C)),
        }


def make_shortlist(
    vectors_IX: np.ndarray,
    vectors_CX: np.ndarray,
    nearest: int,
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Shortlist:
    """Of each part's images and captions those pairs in which either is among the `nearest` of the other."""
    captions, found = len(vectors_CX), []
    for rows, columns in parts:
        found += _nearest(vectors_IX[rows], vectors_CX[columns], nearest, rows * captions, columns)
        found += _nearest(vectors_CX[columns], vectors_IX[rows], nearest, columns, rows * captions)
    keys_S = np.unique(np.concatenate(found))
    images_S, captions_S = np.divmod(keys_S, captions)
    cu_I = np.searchsorted(images_S, np.arange(len(vectors_IX) + 1))
    return Shortlist(nearest, cu_I, captions_S, captions)


def read_vectors(path: Path, corpus: Any, captions: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """float32 vectors of all images and of all captions of the data, or of so many others."""
    texts = corpus.captions if captions is None else captions
    try:
        if path.suffix == ".npz":
            with np.load(path) as file:
                found = {name: file[name] for name in file.files}
        else:
            with h5py.File(path, "r") as file:
                found = {name: file[name][()] for name in file if isinstance(file[name], h5py.Dataset)}
    except FileNotFoundError:
        raise ShortlistError(f"{path}: not there; give --vectors a .npz or .h5 file") from None
    except (OSError, ValueError) as error:
        raise ShortlistError(f"{path}: neither a .npz nor an HDF5 file that can be read ({error})") from None
    for name, count in (("images", corpus.images), ("captions", texts)):
        if name not in found:
            raise ShortlistError(
                f"{path}: no array {name!r} there, only {', '.join(sorted(found)) or 'nothing'}; it must hold "
                "images and captions, a vector a row, in the order of the data"
            )
        if found[name].ndim != 2 or len(found[name]) != count:
            raise ShortlistError(
                f"{path}: {name} has the shape {list(found[name].shape)}, the data has {count:,} {name}; it must be "
                f"[{count}, width]"
            )
        if not np.isfinite(found[name]).all():
            raise ShortlistError(f"{path}: {name} holds values that are no numbers; make it anew")
    images, captions = (found[name].astype(np.float32) for name in ("images", "captions"))
    if images.shape[1] != captions.shape[1]:
        raise ShortlistError(
            f"{path}: vectors of images are {images.shape[1]} wide, of captions {captions.shape[1]}; they are "
            "compared by dot product and must be of one width"
        )
    return images, captions


def _nearest(
    asking_AX: np.ndarray, others_OX: np.ndarray, nearest: int, key_A: np.ndarray, key_O: np.ndarray
) -> list[np.ndarray]:
    """key_A + key_O of each asking one and its nearest others, by dot product; of ties the first ones."""
    if nearest >= len(others_OX):
        return [(key_A[:, None] + key_O).ravel()]
    found, step = [], max(1, AT_ONCE // max(1, len(others_OX)))
    for start in range(0, len(asking_AX), step):
        similar = asking_AX[start : start + step] @ others_OX.T
        order = np.argsort(-similar, axis=1, kind="stable")[:, :nearest]
        found.append((key_A[start : start + step, None] + key_O[order]).ravel())
    return found
