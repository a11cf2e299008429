"""From the rows of a plan to a packed Batch: read, gather, mask, pack."""

from typing import Any

import numpy as np

from interbert.batches.batch import Batch
from interbert.batches.endless import Draw, EndlessPlan, MaskKind, Rows
from interbert.batches.evidence import evidence_to_read
from interbert.batches.masking import Vocabulary, mask_regions, mask_text
from interbert.batches.slot import Slot
from interbert.config import Settings
from interbert.corpus.tokens import TokenTable
from interbert.rng import Purpose

IGNORED = -100
"""The label of what counts for nothing."""


class Preparer:
    """Makes micro-batches. It keeps no state between them: threads share it, each with a slot of its own."""

    def __init__(
        self, corpus: Any, tokens: TokenTable, plan: EndlessPlan, settings: Settings, vocabulary: Vocabulary
    ) -> None:
        self._corpus = corpus
        self._tokens = tokens
        self._settings = settings
        self._vocabulary = vocabulary
        self._capacities = plan.capacities
        self._draw: Draw = plan.draw
        self._evidence = evidence_to_read(settings.objectives, corpus.evidence)

    def make_slot(self, pin: bool = False) -> Slot:
        corpus = self._corpus
        return Slot.make(self._capacities, corpus.feature_width, corpus.classes, self._evidence, pin)

    def prepare(self, slot: Slot, rows: Rows, epoch: int, index: int) -> Batch:
        """The Batch of these rows, in the slot's memory."""
        images = rows.image.astype(np.int64)
        damaged, good_P, keep_P, cu_regions, boxes_R4 = self._read_images(slot, images)
        masks, mismatch, where = self._settings.masks, self._settings.mismatch, (epoch, index)
        ids_T, cu_text = self._tokens.gather(rows.caption)
        text = mask_text(
            masks.text,
            self._draw(Purpose.MASK_TEXT, *where),
            self._vocabulary,
            ids_T,
            cu_text,
            ((rows.mask_kind & MaskKind.TEXT) > 0) & good_P,
            rows.is_match | mismatch.text_loss,
            self._capacities.masked_tokens,
            self._tokens.gather_words(rows.caption, cu_text),
        )
        region = mask_regions(
            masks.regions,
            self._draw(Purpose.MASK_REGIONS, *where),
            boxes_R4,
            cu_regions,
            ((rows.mask_kind & MaskKind.REGIONS) > 0) & good_P,
            rows.is_match | mismatch.region_loss,
            self._capacities.masked_regions,
        )
        values = {
            "input_ids_T": text.input_ids_T,
            "cu_text": cu_text,
            "boxes_R5": box_shares(boxes_R4, keep_P, self._corpus.sizes[images]),
            "zeroed_R": region.zeroed_R,
            "cu_regions": cu_regions,
            "masked_tokens_M": text.rows_M,
            "token_targets_M": text.targets_M,
            "masked_regions_N": region.rows_N,
            "is_match_P": np.where(good_P, rows.is_match, IGNORED),
            "images_P": images,
            "captions_P": rows.caption,
            "order_3P": longest_first(np.diff(cu_text), keep_P).ravel(),
        }
        if self._evidence:
            values |= self._read_evidence(images, cu_regions, region.rows_N)
        sizes = {"max_text": int(np.diff(cu_text).max()), "max_regions": int(keep_P.max())}
        told = tuple(damaged[image] for image in images[~good_P].tolist())
        return slot.batch(values, len(boxes_R4), **sizes, epoch=epoch, index=index, damaged=told)

    def _read_images(
        self, slot: Slot, images_P: np.ndarray
    ) -> tuple[dict[int, str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Features into the slot. Returns what is damaged, which pairs are not, regions kept of each, their offsets
        and their boxes as stored."""
        damaged = self._corpus.damaged_images(images_P) if self._settings.data.skip_damaged else {}
        good_P = ~np.isin(images_P, np.array(list(damaged), np.int64))
        keep_P = np.minimum(self._corpus.region_counts[images_P], self._settings.data.max_regions)
        cu_regions = np.zeros(len(images_P) + 1, dtype=np.int32)
        np.cumsum(keep_P, out=cu_regions[1:])
        regions = int(cu_regions[-1])
        boxes_R4 = np.empty((regions, 4), dtype=np.float32)
        if self._settings.data.verify_checksums:
            self._corpus.check_images(images_P)
        self._read(images_P, keep_P, good_P, slot.features_RD.numpy()[:regions], boxes_R4)
        return damaged, good_P, keep_P, cu_regions, boxes_R4

    def _read(
        self,
        images_P: np.ndarray,
        keep_P: np.ndarray,
        good_P: np.ndarray,
        features_RD: np.ndarray,
        boxes_R4: np.ndarray,
    ) -> None:
        """Features and boxes; zeros and whole images where the stored ones are damaged."""
        if good_P.all():
            self._corpus.read(images_P, keep_P, features_RD, boxes_R4)
            return
        good_R = np.repeat(good_P, keep_P)
        kept = self._corpus.read(images_P[good_P], keep_P[good_P])
        features_RD[good_R], boxes_R4[good_R] = kept
        features_RD[~good_R] = 0
        sizes_P2 = np.maximum(self._corpus.sizes[images_P], 1)
        whole_P4 = np.concatenate([np.zeros_like(sizes_P2), sizes_P2], axis=1)
        boxes_R4[~good_R] = np.repeat(whole_P4, keep_P, axis=0)[~good_R]

    def _read_evidence(
        self, images_P: np.ndarray, cu_regions: np.ndarray, rows_N: np.ndarray
    ) -> dict[str, np.ndarray]:
        pair_N = np.searchsorted(cu_regions, rows_N, side="right") - 1
        probs_NK, labels_N = self._corpus.read_evidence(images_P[pair_N], rows_N - cu_regions[pair_N])
        if self._evidence == "labels":
            return {"class_labels_N": labels_N}
        # Non-negative halves are ordered like their bits, and integers are compared several times as fast.
        return {"class_probs_NK": probs_NK, "class_labels_N": probs_NK.view(np.int16).argmax(axis=1)}


def longest_first(text_P: np.ndarray, regions_P: np.ndarray) -> np.ndarray:
    """int32 [3, P]: the pairs by text tokens, by regions and by both, most first."""
    keys_3P = np.stack([text_P, regions_P, text_P + regions_P])
    return np.argsort(-keys_3P, axis=1, kind="stable").astype(np.int32)


def box_shares(boxes_R4: np.ndarray, keep_P: np.ndarray, sizes_P2: np.ndarray) -> np.ndarray:
    """float32 [R, 5]: x1/W, y1/H, x2/W, y2/H, share of the area. Where the size is 0, 0 boxes are shares."""
    sizes = np.where((sizes_P2 > 0).all(axis=1, keepdims=True), sizes_P2, 1).astype(np.float32)
    shares = np.empty((len(boxes_R4), 5), dtype=np.float32)
    np.divide(boxes_R4, np.repeat(np.tile(sizes, 2), keep_P, axis=0), out=shares[:, :4])
    shares[:, 4] = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
    return shares
