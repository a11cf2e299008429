"""The match score of every pair of some images and some captions, a tile at a time.

Letters as in tiles.py. A tile's images and captions are prepared once (model/shared), and its pairs run in packed
micro-batches: captions by length, each with all images of the tile, so that neighbouring pairs are of one size.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xxhash

from interbert.batches.unmasked import read_regions
from interbert.corpus.tokens import TokenTable
from interbert.kernels.cpu import native
from interbert.model.layers.heads import match_log_odds
from interbert.model.shared.head import compiles_for_each_shape, match_head
from interbert.model.shared.match import Filling, SharedMatch
from interbert.model.shared.replay import Replayed
from interbert.model.shared.sides import Side
from interbert.tasks.retrieval.shortlist import Shortlist
from interbert.tasks.retrieval.tiles import MICRO_BATCHES, Tile, cut_pairs, plan_tiles

ROW_STEP = 32
"""Multiples to which numbers of rows are rounded up, where they are."""

SHAPE_STEPS = 32
"""For CUDA graphs: of how many parts of a micro-batch its rows of a stream are a multiple."""


class PairScorer:
    """Scores images x captions, given as indices into the corpus; `tiles` are its pieces of work."""

    def __init__(
        self,
        model: Any,
        corpus: Any,
        tokens: TokenTable,
        images_I: np.ndarray,
        captions_C: np.ndarray,
        *,
        token_budget: int,
        max_regions: int | None = None,
        device: torch.device | str = "cpu",
        parts: list[tuple[np.ndarray, np.ndarray]] | None = None,
        shortlist: Shortlist | None = None,
        text_of: Callable[[int], str] | None = None,
        replayed: bool = False,
    ) -> None:
        """parts: images and captions (as places in images_I and captions_C) whose pairs are wanted; default: all.
        text_of: what caption a number is, where captions are not the corpus's own.
        replayed: micro-batches are filled up to a few shapes, which CUDA graphs replay.
        """
        self.model, self.corpus, self.tokens, self.device = model, corpus, tokens, torch.device(device)
        self.images_I, self.captions_C = images_I, captions_C
        self.token_budget, self.shortlist = token_budget, shortlist
        self._text_of = text_of or corpus.caption_text
        counts_I = np.asarray(corpus.region_counts)[images_I].astype(np.int64)
        self.regions_I = counts_I if max_regions is None else np.minimum(counts_I, max_regions)
        self.lengths_C = tokens.lengths[captions_C].astype(np.int64)
        _check_budget(token_budget, self.lengths_C, self.regions_I)
        everything = [(np.arange(len(images_I)), np.arange(len(captions_C)))]
        self.tiles = plan_tiles(
            everything if parts is None else parts,
            self.regions_I + 1,
            self.lengths_C,
            tokens=MICRO_BATCHES * token_budget / (1 if shortlist is None else max(shortlist.density, 1e-3)),
            bytes_of_region=2 * corpus.feature_width,
        )
        self._match = SharedMatch(model)
        self._filling = self._fill_up(replayed)
        self._run = Replayed(self._match).run if replayed else self._match.run
        self._head = match_head(model)
        self._held: tuple[np.ndarray, Side] | None = None

    def pairs_of(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Image and caption of each pair, as places in the tile."""
        if self.shortlist is None:
            captions, images = np.divmod(np.arange(len(tile.rows_B) * len(tile.columns_E)), len(tile.rows_B))
            return images, captions
        captions, images = np.nonzero(self.shortlist.among(tile.rows_B, tile.columns_E).T)
        return images, captions

    def pairs_in(self, tile: Tile) -> int:
        if self.shortlist is None:
            return len(tile.rows_B) * len(tile.columns_E)
        return int(self.shortlist.among(tile.rows_B, tile.columns_E).sum())

    def score(self, tile: Tile) -> np.ndarray:
        """float32 [B, E] log-odds of "match"; minus infinity where the pair is not on the shortlist."""
        images_P, captions_P = self.pairs_of(tile)
        scores_BE = np.full((len(tile.rows_B), len(tile.columns_E)), -np.inf, np.float32)
        if len(images_P):
            was_training = self.model.training
            self.model.eval()
            with torch.inference_mode():
                scores_BE[images_P, captions_P] = self._score(tile, images_P, captions_P)
            self.model.train(was_training)
        self._must_be_numbers(tile, scores_BE[images_P, captions_P], images_P, captions_P)
        return scores_BE

    def matrix(self) -> np.ndarray:
        """float32 [I, C]: everything at once, on this rank alone. For small ones."""
        scores_IC = np.full((len(self.images_I), len(self.captions_C)), -np.inf, np.float32)
        for tile in self.tiles:
            scores_IC[np.ix_(tile.rows_B, tile.columns_E)] = self.score(tile)
        return scores_IC

    def identity(self) -> str:
        """Of everything that decides the scores."""
        digest = xxhash.xxh3_128()
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        parameter = next(self.model.parameters())
        numerics = (
            parameter.dtype,
            parameter.device.type,
            native.serves(parameter),
            torch.__version__,
            self._filling,
        )
        digest.update(repr((numerics, self.model.config.to_dict(), self.token_budget)).encode())
        digest.update(self.corpus.fingerprint.encode())
        ids_T, cu_text = self.tokens.gather(self.captions_C)
        for array in (self.images_I, self.regions_I, self.captions_C, ids_T, cu_text):
            digest.update(np.ascontiguousarray(array))
        for tile in self.tiles:
            digest.update(np.concatenate([tile.rows_B, [-1], tile.columns_E]))
        if self.shortlist is not None:
            digest.update(self.shortlist.digest())
        return digest.hexdigest()

    def _score(self, tile: Tile, images_P: np.ndarray, captions_P: np.ndarray) -> np.ndarray:
        images, captions = self._images(tile), self._captions(tile)
        tokens_P = self.regions_I[tile.rows_B][images_P] + 1 + self.lengths_C[tile.columns_E][captions_P]
        found = []
        for start, stop in cut_pairs(tokens_P, self.token_budget):
            chosen = slice(start, stop)
            pairs = self._match.pairs(images, captions, images_P[chosen], captions_P[chosen], self._filling)
            found.append(match_log_odds(self._head(self._run(pairs)))[: stop - start])
        # Left on the device until here, so that no micro-batch waits for the one before it.
        return torch.cat(found).cpu().numpy()

    def _images(self, tile: Tile) -> Side:
        """Those of the last tile stay: neighbouring tiles have them in common."""
        if self._held is None or not np.array_equal(self._held[0], tile.rows_B):
            self._held = None
            features_RD, boxes_R5, _ = read_regions(
                self.corpus, self.images_I[tile.rows_B], self.regions_I[tile.rows_B]
            )
            side = self._match.sides.images(
                features_RD.to(self.device), boxes_R5.to(self.device), self.regions_I[tile.rows_B]
            )
            self._held = tile.rows_B, side
        return self._held[1]

    def _captions(self, tile: Tile) -> Side:
        ids_T, _ = self.tokens.gather(self.captions_C[tile.columns_E])
        ids_T = torch.from_numpy(ids_T.astype(np.int64)).to(self.device, non_blocking=True)
        return self._match.sides.captions(ids_T, self.lengths_C[tile.columns_E])

    def _fill_up(self, replayed: bool) -> Filling | None:
        longest = int(self.lengths_C.max()), int(self.regions_I.max()) + 1
        if replayed:
            rows = max(1, self.token_budget // SHAPE_STEPS)
            return Filling(rows, max(1, rows // 32), *longest)
        return Filling(ROW_STEP, ROW_STEP, *longest) if compiles_for_each_shape(self.model) else None

    def _must_be_numbers(
        self, tile: Tile, scores_P: np.ndarray, images_P: np.ndarray, captions_P: np.ndarray
    ) -> None:
        bad = np.flatnonzero(~np.isfinite(scores_P))
        if len(bad):
            image = int(self.images_I[tile.rows_B[images_P[bad[0]]]])
            caption = int(self.captions_C[tile.columns_E[captions_P[bad[0]]]])
            raise ValueError(
                f"the model gives {len(bad):,} of {len(scores_P):,} pairs a score that is no number, the first "
                f"one image {self.corpus.image_id(image)!r} with {self._text_of(caption)!r}: are the "
                "model's weights and the data's features all finite?"
            )


def _check_budget(budget: int, lengths_C: np.ndarray, counts_I: np.ndarray) -> None:
    text, regions = int(lengths_C.max()), int(counts_I.max())
    if text + regions + 1 > budget:
        raise ValueError(
            f"the token budget is {budget}, but a pair may need {text + regions + 1}: {text} text tokens, "
            f"{regions} regions and a global image token; give --token-budget that much, or more"
        )
