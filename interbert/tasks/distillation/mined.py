"""Images that vectors take for those of a caption: what an index of the model as it stands would find."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interbert.config import Settings
from interbert.corpus import cache
from interbert.corpus.tokens import TokenTable
from interbert.search.encoder import Encoder, budget_of, image_vectors_of, placed, text_vectors_of
from interbert.search.mark import mark_of

log = logging.getLogger(__name__)

CAPTIONS_AT_A_TIME = 1024


def mined_images(
    corpus: Any, tokens: TokenTable, captions_C: np.ndarray, settings: Settings, device: torch.device
) -> np.ndarray | None:
    """int32 [C, N]: the nearest images of each caption, without its own, by the vectors of `model.inherit_from`.
    None of a model that has none yet. Kept beside the data: a run that goes on finds the same."""
    from interbert.model.loading import load_ours

    asked, folder = settings.distill, Path(settings.model.inherit_from)
    top = min(asked.mined_top, corpus.images - 1)
    if not asked.mined or top < asked.mined:
        return None
    limits = settings.data.max_regions, settings.data.max_text_tokens
    name = f"mined-{cache.key(corpus.fingerprint, mark_of(folder), top, asked.captions, *limits)}.npy"
    with cache.alone(corpus, name):
        for path in cache.find(corpus, name):
            found = _read(path, (len(captions_C), top))
            if found is not None:
                return found
        encoder = Encoder(placed(load_ours(folder), device, "auto")[0])
        if encoder.vectors_from is None:
            log.info("%s has no vectors yet: candidates are random images", folder)
            return None
        found = _mine(encoder, corpus, tokens, captions_C, top, settings.data.max_regions)
        cache.keep(corpus, name, lambda path: _write(path, found))
        return found


def _mine(
    encoder: Encoder, corpus: Any, tokens: TokenTable, captions_C: np.ndarray, top: int, max_regions: int
) -> np.ndarray:
    budget = budget_of(encoder.device)
    images_IW = torch.from_numpy(
        image_vectors_of(encoder, corpus, np.arange(corpus.images), budget, max_regions)
    ).to(encoder.device)
    found = np.empty((len(captions_C), top), np.int32)
    for start in range(0, len(captions_C), CAPTIONS_AT_A_TIME):
        some = captions_C[start : start + CAPTIONS_AT_A_TIME]
        texts_BW = text_vectors_of(encoder, [tokens.caption(int(one)) for one in some], budget)
        scores_BI = torch.from_numpy(texts_BW).to(encoder.device) @ images_IW.T
        own_B = torch.from_numpy(corpus.caption_image[some].astype(np.int64)).to(encoder.device)
        scores_BI.scatter_(1, own_B[:, None], -torch.inf)
        found[start : start + len(some)] = scores_BI.topk(top, dim=1).indices.int().cpu().numpy()
    return found


def _write(path: Path, found: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, found)


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.int32 else None
