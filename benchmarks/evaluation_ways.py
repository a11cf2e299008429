"""The ways of scoring pairs that benchmarks/evaluation.py compares, and what a pair asks of the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interbert.batches.batch import Batch, unmasked_batch
from interbert.batches.unmasked import read_regions
from interbert.corpus.tokens import TokenTable
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.model.layers.heads import match_log_odds
from interbert.model.padded import forward_padded
from interbert.store.store import StoreWriter
from interbert.tasks.retrieval.pairs import PairScorer, match_head
from interbert.tasks.retrieval.tiles import Tile, cut_pairs

REGIONS, WORDS = (10, 36), (8, 24)
PADDED_WORDS, PADDED_IMAGE = 30, 102
"""What the released code pads each pair to; the global token is one of the image's."""


def write_data(path: Path, images: int, feature_width: int, seed: int = 0) -> None:
    """Images of 10-36 regions, with features as a detector's: none below 0. One caption each, which nobody reads."""
    rng = np.random.default_rng(seed)
    with StoreWriter(path, feature_width) as store:
        for image in range(images):
            regions = int(rng.integers(REGIONS[0], REGIONS[1] + 1))
            corners = np.sort(rng.random((regions, 2, 2)), axis=1).reshape(regions, 4)
            features = np.maximum(rng.standard_normal((regions, feature_width), np.float32), 0)
            boxes = (corners * 640).astype(np.float32)
            store.add_image(str(image), 640, 640, boxes_N4=boxes, features_ND=features.astype(np.float16))
            store.add_captions(image, [f"image {image}"])


def make_tokens(captions: int, vocab_size: int, seed: int = 1) -> TokenTable:
    """Captions of 8-24 tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(WORDS[0], WORDS[1] + 1, captions)
    ids = rng.integers(1000, vocab_size, lengths.sum()).astype(np.int32)
    return TokenTable(ids, np.concatenate([[0], np.cumsum(lengths)]))


class Packed:
    """As it was done before parts were shared: whole pairs in packed micro-batches, images of one size together."""

    def __init__(self, model: InterBertForPreTraining, corpus: Any, tokens: TokenTable, budget: int) -> None:
        self.model, self.corpus, self.tokens, self.budget = model, corpus, tokens, budget
        self.head, self.device = match_head(model), next(model.parameters()).device

    def score(self, tile: Tile) -> np.ndarray:
        scores_BE = np.empty((len(tile.rows_B), len(tile.columns_E)), np.float32)
        counts_B = np.asarray(self.corpus.region_counts)[tile.rows_B].astype(np.int64)
        with torch.inference_mode():
            for regions in np.unique(counts_B):
                rows = np.flatnonzero(counts_B == regions)
                scores_BE[rows] = self._block(tile.rows_B[rows], tile.columns_E, int(regions))
        return scores_BE

    def _block(self, images_B: np.ndarray, captions_E: np.ndarray, regions: int) -> np.ndarray:
        features_RD, boxes_R5, _ = read_regions(self.corpus, images_B, np.full(len(images_B), regions))
        features = features_RD.view(len(images_B), regions, -1).to(self.device)
        boxes = boxes_R5.view(len(images_B), regions, 5).to(self.device)
        captions_P, images_P = np.divmod(np.arange(len(images_B) * len(captions_E)), len(images_B))
        found = []
        for start, stop in cut_pairs(self.tokens.lengths[captions_E[captions_P]] + regions + 1, self.budget):
            chosen = captions_E[captions_P[start:stop]]
            where = torch.from_numpy(images_P[start:stop]).to(self.device)
            batch = self._batch(chosen, features.index_select(0, where), boxes.index_select(0, where))
            output = self.model.forward_packed(batch, {"match"})
            found.append(match_log_odds(self.head(output.match_inputs)))
        return torch.cat(found).cpu().numpy().reshape(len(captions_E), len(images_B)).T

    def _batch(self, captions_P: np.ndarray, features_PRD: Tensor, boxes_PR5: Tensor) -> Batch:
        ids_T, cu_text = self.tokens.gather(captions_P)
        pairs, regions = features_PRD.shape[:2]
        nobody = torch.full((pairs,), -1)
        return unmasked_batch(
            torch.from_numpy(ids_T.astype(np.int64)).to(self.device),
            torch.from_numpy(cu_text).to(self.device),
            features_PRD.flatten(0, 1),
            boxes_PR5.flatten(0, 1),
            torch.arange(pairs + 1, dtype=torch.int32, device=self.device) * regions,
            max_text=int(np.diff(cu_text).max()),
            max_regions=regions,
            images_P=nobody,
            captions_P=nobody,
        )


class Padded:
    """As the released code does: a caption at a time against the images, each pair padded to one size."""

    def __init__(self, model: InterBertForPreTraining, corpus: Any, tokens: TokenTable) -> None:
        self.model, self.corpus, self.tokens = model, corpus, tokens
        self.device = next(model.parameters()).device

    def score(self, tile: Tile, captions: int) -> np.ndarray:
        """Of the tile's first few captions."""
        counts_B = np.asarray(self.corpus.region_counts)[tile.rows_B].astype(np.int64)
        features_RD, boxes_R5, _ = read_regions(self.corpus, tile.rows_B, counts_B)
        cu_regions = torch.from_numpy(np.concatenate([[0], np.cumsum(counts_B)]).astype(np.int32))
        nobody = torch.full((len(counts_B),), -1)
        found = []
        for caption in tile.columns_E[:captions]:
            ids_T, cu_text = self.tokens.gather(np.full(len(counts_B), caption))
            batch = unmasked_batch(
                torch.from_numpy(ids_T.astype(np.int64)),
                torch.from_numpy(cu_text),
                features_RD,
                boxes_R5,
                cu_regions,
                max_text=PADDED_WORDS,
                max_regions=PADDED_IMAGE - 1,
                images_P=nobody,
                captions_P=nobody,
            ).to(self.device)
            with torch.inference_mode():
                output = forward_padded(self.model, batch, PADDED_WORDS, PADDED_IMAGE - 1)
            found.append(match_log_odds(output.match_logits_P2).float().cpu().numpy())
        return np.stack(found, 1)


def operations(config: InterBertConfig, scorer: PairScorer, tiles: Iterator[Tile]) -> float:
    """Of whole pairs in all layers, nothing shared: matrix products over real tokens, attention's own among them."""
    total = 0.0
    for tile in tiles:
        image_B, text_E = scorer.regions_I[tile.rows_B] + 1.0, scorer.lengths_C[tile.columns_E] + 0.0
        joint_BE = image_B[:, None] + text_E
        lengths = {
            "joint": joint_BE,
            "image": np.broadcast_to(image_B[:, None], joint_BE.shape),
            "text": np.broadcast_to(text_E, joint_BE.shape),
        }
        H = config.hidden_size
        for stage in config.encoder_stages:
            length = lengths[stage.kind]
            linear = (4 * H * H + 2 * H * stage.intermediate_size) * length.sum()
            total += 2 * stage.layers * float(linear + 2 * H * np.square(length).sum())
    return total
