"""The match score of every pair of some images and some captions, in packed micro-batches.

Letters as in batches/batch.py, and I images, C captions, B images of a block.

Images with equally many regions form blocks, which are read once and stay on the device; within a block the
captions come by length, each with all images of the block. So neighbouring pairs are of one size: attention
pads next to nothing, and putting a micro-batch together is a handful of gathers. The cut into micro-batches
knows nothing of ranks, which take whole micro-batches: the scores are the same on any number of ranks.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interbert.batches.batch import Batch
from interbert.batches.unmasked import filled_up, read_regions, unmasked_batch
from interbert.corpus.tokens import TokenTable
from interbert.kernels.cpu import native
from interbert.model.heads import match_log_odds
from interbert.model.outputs import PackedOutput
from interbert.progress import Progress

BLOCK_BYTES = 256 * 2**20
"""Most bytes of region features that are held at a time."""

ROW_STEP = 128
"""Multiples to which numbers of rows are rounded up, where they are."""

Gather = Callable[[Any], list[Any]]
"""A value of this rank -> the values of all ranks, on every rank."""


@dataclass(frozen=True)
class Block:
    """Images with equally many regions; pair f of the block is (caption f // B by length, image f % B)."""

    rows_B: np.ndarray
    """Which of the evaluated images these are."""
    regions: int


@dataclass(frozen=True)
class MicroBatch:
    block: int
    start: int
    stop: int
    """Pairs start:stop of the block."""
    tokens: int


class PairScorer:
    """Scores images x captions, given as indices into the corpus."""

    def __init__(
        self,
        model: Any,
        corpus: Any,
        tokens: TokenTable,
        images_I: np.ndarray,
        captions_C: np.ndarray,
        *,
        token_budget: int,
        max_regions: int | None,
        device: torch.device | str,
    ) -> None:
        self.model, self.corpus, self.tokens, self.device = model, corpus, tokens, torch.device(device)
        self.images_I = images_I
        self.by_length_C = np.argsort(tokens.lengths[captions_C], kind="stable")
        self.captions_C = captions_C[self.by_length_C]
        counts_I = np.asarray(corpus.region_counts)[images_I]
        counts_I = counts_I if max_regions is None else np.minimum(counts_I, max_regions)
        lengths_C = tokens.lengths[self.captions_C].astype(np.int64)
        _check_budget(token_budget, lengths_C, counts_I)
        self.blocks = image_blocks(counts_I, bytes_of_region=2 * corpus.feature_width)
        self.micro_batches = [
            MicroBatch(number, *cut)
            for number, block in enumerate(self.blocks)
            for cut in cut_pairs(lengths_C, block.regions, len(block.rows_B), token_budget)
        ]

    def scores(self, rank: int, world_size: int, gather: Gather, progress: bool, title: str) -> np.ndarray:
        """float32 [I, C] log-odds of "match", on every rank."""
        mine = share_of_rank(self.micro_batches, rank, world_size)
        pairs = sum(m.stop - m.start for m in mine)
        with Progress(title, pairs, "pairs", shown=progress) as shown:
            scores = self._score(mine, shown)
        everyone = np.concatenate(gather(scores))
        scores_IC = np.empty((len(self.images_I), len(self.captions_C)), dtype=np.float32)
        place = 0
        for m in self.micro_batches:
            captions, images = np.divmod(np.arange(m.start, m.stop), len(self.blocks[m.block].rows_B))
            rows = self.blocks[m.block].rows_B[images]
            scores_IC[rows, self.by_length_C[captions]] = everyone[place : place + m.stop - m.start]
            place += m.stop - m.start
        assert place == len(everyone)
        return scores_IC

    def _score(self, micro_batches: list[MicroBatch], progress: Progress) -> np.ndarray:
        was_training = self.model.training
        self.model.eval()
        match = self._match_head()
        found, current = [], None
        with torch.inference_mode():
            for m in micro_batches:
                if m.block != current:
                    features_BRD, boxes_BR5 = self._read(self.blocks[m.block])
                    current = m.block
                batch = filled_up(self._batch(m, features_BRD, boxes_BR5), self._row_step())
                logits_P2 = match(self.model.forward_packed(batch, {"match"}))[: m.stop - m.start]
                found.append(match_log_odds(logits_P2))
                progress.advance(m.stop - m.start)
            # Left on the device until here, so that no micro-batch waits for the one before it.
            scores = torch.cat(found).cpu().numpy() if found else np.zeros(0, np.float32)
        self.model.train(was_training)
        return scores

    def _match_head(self) -> Callable[[PackedOutput], Tensor]:
        """fp32 logits. Those of a 16-bit model are computed anew: rounded to 8 bits, many would be tied."""
        if next(self.model.parameters()).dtype == torch.float32:
            return lambda output: output.match_logits_P2
        head = copy.deepcopy(self.model.heads["match"]).float()
        return lambda output: head(*(x.float() for x in output.match_inputs))

    def _row_step(self) -> int:
        """oneDNN's 16-bit products are compiled anew for every number of rows: a few numbers only, then."""
        parameter = next(self.model.parameters())
        if parameter.device.type != "cpu" or parameter.dtype == torch.float32 or native.serves(parameter):
            return 1
        return min(ROW_STEP, self.model.config.max_position_embeddings)

    def _read(self, block: Block) -> tuple[Tensor, Tensor]:
        """Features [B, regions, D] as stored and box shares [B, regions, 5], on the device."""
        images_B = self.images_I[block.rows_B]
        keep_B = np.full(len(images_B), block.regions, dtype=np.int64)
        features_RD, boxes_R5, _ = read_regions(self.corpus, images_B, keep_B)
        shape = (len(images_B), block.regions)
        return (
            features_RD.view(*shape, self.corpus.feature_width).to(self.device),
            boxes_R5.view(*shape, 5).to(self.device),
        )

    def _batch(self, m: MicroBatch, features_BRD: Tensor, boxes_BR5: Tensor) -> Batch:
        images, regions = features_BRD.shape[:2]
        captions_P, images_P = np.divmod(np.arange(m.start, m.stop), images)
        ids_T, cu_text = self.tokens.gather(self.captions_C[captions_P])
        where = torch.from_numpy(images_P).to(self.device, non_blocking=True)
        return unmasked_batch(
            torch.from_numpy(ids_T.astype(np.int64)).to(self.device, non_blocking=True),
            torch.from_numpy(cu_text).to(self.device, non_blocking=True),
            features_BRD.index_select(0, where).flatten(0, 1),
            boxes_BR5.index_select(0, where).flatten(0, 1),
            torch.arange(len(images_P) + 1, dtype=torch.int32, device=self.device) * regions,
            max_text=int(np.diff(cu_text).max()),
            max_regions=regions,
            images_P=torch.from_numpy(self.images_I[self.blocks[m.block].rows_B][images_P]),
            captions_P=torch.from_numpy(self.captions_C[captions_P]),
        )


def image_blocks(counts_I: np.ndarray, bytes_of_region: int, block_bytes: int = BLOCK_BYTES) -> list[Block]:
    """Images by their number of regions, in pieces that fit into memory."""
    order_I = np.argsort(counts_I, kind="stable")
    groups = np.split(order_I, np.flatnonzero(np.diff(counts_I[order_I])) + 1)
    blocks = []
    for rows in groups:
        regions = int(counts_I[rows[0]])
        most = max(1, block_bytes // max(1, regions * bytes_of_region))
        pieces = -(-len(rows) // most)
        blocks += [Block(piece, regions) for piece in np.array_split(rows, pieces)]
    return blocks


def cut_pairs(lengths_C: np.ndarray, regions: int, images: int, budget: int) -> list[tuple[int, int, int]]:
    """(start, stop, tokens) of micro-batches as full as the budget allows; lengths_C ascend."""
    cost_C = lengths_C + regions + 1
    before_C = np.concatenate([[0], np.cumsum(cost_C)]) * images
    cuts, start, end = [], 0, len(lengths_C) * images
    while start < end:
        caption, image = divmod(start, images)
        used = int(before_C[caption]) + image * int(cost_C[caption])
        last = int(np.searchsorted(before_C, used + budget, side="right")) - 1
        if last == len(lengths_C):
            stop, upto = end, int(before_C[-1])
        else:
            more = int(used + budget - before_C[last]) // int(cost_C[last])
            stop, upto = last * images + more, int(before_C[last]) + more * int(cost_C[last])
        assert stop > start
        cuts.append((start, stop, upto - used))
        start = stop
    return cuts


def share_of_rank(micro_batches: list[MicroBatch], rank: int, world_size: int) -> list[MicroBatch]:
    """A run of neighbouring micro-batches, about the same number of tokens for each rank."""
    tokens = np.array([m.tokens for m in micro_batches], dtype=np.float64)
    middle = np.cumsum(tokens) - tokens / 2
    owner = (middle / tokens.sum() * world_size).astype(int)
    return [m for m, own in zip(micro_batches, owner, strict=True) if own == rank]


def _check_budget(budget: int, lengths_C: np.ndarray, counts_I: np.ndarray) -> None:
    text, regions = int(lengths_C.max()), int(counts_I.max())
    if text + regions + 1 > budget:
        raise ValueError(
            f"the token budget is {budget}, but a pair may need {text + regions + 1}: {text} text tokens, "
            f"{regions} regions and a global image token; give --token-budget that much, or more"
        )
