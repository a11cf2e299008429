"""Images of stores as items of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interbert.corpus.corpus import Corpus
from interbert.progress import Progress
from interbert.search.encoder import Encoder, budget_of, images_of
from interbert.search.index.index import Addition, Index
from interbert.search.mark import mark_of
from interbert.store.features_of import refuse_other_features

AT_A_TIME = 2000
"""Items of a commit."""


def about_of(
    encoder: Encoder, folder: Path, precision: str, max_regions: int, max_text_tokens: int
) -> dict[str, Any]:
    """What is written down of the model that makes an index."""
    config = encoder.model.config
    if config.words_see_image:
        raise ValueError(
            f"{folder}: its words see the image from the first layer on, so nothing of an item can be kept"
        )
    return {
        "model": mark_of(folder),
        "model_path": str(folder.absolute()),
        "vectors": encoder.vectors_from,
        "width": encoder.width,
        "hidden": config.hidden_size,
        "precision": precision,
        "max_regions": max_regions,
        "max_text_tokens": min(max_text_tokens, config.max_position_embeddings),
        "feature_width": config.feature_width,
        "features_of": config.features_of,
    }


def add_stores(
    index: Index, encoder: Encoder, data: Sequence[str | Path], titles: str = "caption", shown: bool = False
) -> int:
    """Every image of these stores, its title the first caption, or none; what is there by that id is put anew."""
    with Corpus(data) as corpus:
        about = index.about
        if corpus.feature_width != about["feature_width"]:
            raise ValueError(
                f"{corpus.paths[0]}: features are {corpus.feature_width} wide, the model's are "
                f"{about['feature_width']}; take the store of the detector that it was trained on"
            )
        refuse_other_features("the model", about["features_of"], corpus.paths[0], corpus.features_of)
        title_of = _titles(corpus) if titles == "caption" else {}
        number_of = [index.name_store(store.path, store.earlier_fingerprint) for store in corpus.stores]
        place_of = [
            (number, image)
            for store, number in zip(corpus.stores, number_of, strict=True)
            for image in range(store.images)
        ]
        ids = list(corpus.image_ids())
        waiting: list[Addition] = []
        with Progress("indexing", corpus.images, "items", shown=shown) as progress:
            for one in _additions(encoder, corpus, about["max_regions"], ids, title_of, place_of):
                waiting.append(one)
                if len(waiting) == AT_A_TIME:
                    index.put(waiting)
                    progress.advance(len(waiting))
                    waiting = []
            index.put(waiting)
            progress.advance(len(waiting))
        return corpus.images


def _additions(
    encoder: Encoder,
    corpus: Corpus,
    max_regions: int,
    ids: list[str],
    title_of: dict[int, str],
    place_of: list[tuple[int, int]],
) -> Iterator[Addition]:
    images_I = np.arange(corpus.images)
    for part, encoded in images_of(encoder, corpus, images_I, budget_of(encoder.device), max_regions):
        rows_SH, cu = encoded.side.x_SH.cpu(), encoded.side.cu.tolist()
        for place, image in enumerate(range(part.start, part.stop)):
            vector = None if encoded.vectors is None else encoded.vectors[place]
            yield Addition(
                ids[image],
                rows_SH[cu[place] : cu[place + 1]],
                vector,
                tuple(corpus.sizes[image].tolist()),
                place_of[image],
                title=title_of.get(image, ""),
            )


def _titles(corpus: Corpus) -> dict[int, str]:
    """The first caption of each image."""
    images, first = np.unique(corpus.caption_image[: corpus.captions], return_index=True)
    return {
        int(image): corpus.caption_text(int(caption)) for image, caption in zip(images, first, strict=True)
    }


def encoder_for(folder: Path, precision: str = "auto", device: str | None = None) -> tuple[Encoder, str]:
    """device: None, a GPU where there is one."""
    from interbert.search.encoder import model_in

    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model_in(folder, torch.device(name), precision)
