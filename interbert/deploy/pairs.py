"""Pairs to hold an export to: of a store, or drawn, of lengths as they come."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from interbert.batches.prepare import box_shares
from interbert.corpus.corpus import Corpus
from interbert.model.shape.configuration import InterBertConfig
from interbert.rng import Purpose, generator
from interbert.store.features_of import refuse_other_features
from interbert.tokenizer import Tokenizer

TOKENS, REGIONS = (8, 24), (10, 36)
"""Lengths of captions and numbers of regions that are drawn where no store tells them."""

Pair = tuple[list[int], np.ndarray, np.ndarray]
"""Token ids, features [R, D], boxes as shares [R, 5]."""


def of_store(
    paths: Sequence[Path], tokenizer: Tokenizer, config: InterBertConfig, count: int, max_tokens: int
) -> list[Pair]:
    """So many captions, spread over the data set, each with its image."""
    with Corpus(paths) as corpus:
        if corpus.captions == 0:
            raise ValueError(
                f"{paths[0]}: no captions there; give a store that has some, or leave --data out"
            )
        if corpus.feature_width != config.feature_width:
            raise ValueError(
                f"{paths[0]}: features are {corpus.feature_width} wide, the model takes {config.feature_width}"
            )
        refuse_other_features("the model", config.features_of, str(paths[0]), corpus.features_of)
        captions = np.unique(np.linspace(0, corpus.captions - 1, count).astype(int))
        ids = tokenizer.encode([corpus.caption_text(c) for c in captions], max_tokens)
        return [
            (row, *_regions(corpus, int(corpus.caption_image[c])))
            for row, c in zip(ids, captions, strict=True)
        ]


def _regions(corpus: Corpus, image: int) -> tuple[np.ndarray, np.ndarray]:
    counts = corpus.region_counts[[image]]
    features_RD, boxes_R4 = corpus.read([image], counts)
    return features_RD.astype(np.float32), box_shares(boxes_R4, counts, corpus.sizes[[image]])


def drawn(config: InterBertConfig, count: int, seed: int = 0) -> list[Pair]:
    random = generator(seed, Purpose.BENCHMARK, count)
    longest = min(TOKENS[1], config.max_position_embeddings)
    pairs = []
    for _ in range(count):
        tokens = int(random.integers(min(TOKENS[0], longest), longest + 1))
        regions = int(random.integers(REGIONS[0], REGIONS[1] + 1))
        corners_R4 = np.sort(random.random((regions, 2, 2), np.float32), axis=1).reshape(regions, 4)
        pairs.append(
            (
                random.integers(0, config.vocab_size, tokens).tolist(),
                np.maximum(random.standard_normal((regions, config.feature_width), np.float32), 0),
                box_shares(corners_R4, np.array([regions]), np.zeros((1, 2))),
            )
        )
    return pairs


def padded(pairs: Sequence[Pair]) -> tuple[Tensor, ...]:
    """Inputs of a PaddedModel, as wide as the longest of them."""
    longest, most = max(len(ids) for ids, _, _ in pairs), max(len(boxes) for _, _, boxes in pairs)
    ids_BL = torch.zeros(len(pairs), longest, dtype=torch.int64)
    features_BRD = torch.zeros(len(pairs), most, pairs[0][1].shape[1])
    boxes_BR5 = torch.zeros(len(pairs), most, 5)
    words_BL, regions_BR = torch.zeros_like(ids_BL), torch.zeros(len(pairs), most, dtype=torch.int64)
    for n, (ids, features_RD, boxes_R5) in enumerate(pairs):
        ids_BL[n, : len(ids)], words_BL[n, : len(ids)] = torch.tensor(ids), 1
        features_BRD[n, : len(boxes_R5)] = torch.from_numpy(features_RD)
        boxes_BR5[n, : len(boxes_R5)] = torch.from_numpy(boxes_R5)
        regions_BR[n, : len(boxes_R5)] = 1
    return ids_BL, words_BL, torch.zeros_like(ids_BL), features_BRD, boxes_BR5, regions_BR
