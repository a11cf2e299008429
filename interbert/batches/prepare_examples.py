"""From rows of examples, or of sets of pairs, to a packed Batch: nothing masked, with what is right of each group."""

from typing import Any

import numpy as np
import torch

from interbert.batches.batch import Batch, Groups
from interbert.batches.endless import EndlessPlan, Rows
from interbert.batches.prepare import IGNORED, Preparer, box_shares, longest_first
from interbert.batches.slot import Slot
from interbert.config import Settings
from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.examples import Examples
from interbert.corpus.tokens import TokenTable


class ExamplePreparer(Preparer):
    """examples: None of sets that are drawn from captions."""

    def __init__(
        self,
        corpus: Any,
        tokens: TokenTable,
        plan: EndlessPlan,
        settings: Settings,
        examples: Examples | None = None,
        soft: bool = False,
    ) -> None:
        """soft: weights of all classes are wanted, and unknown where the examples say none."""
        self._corpus, self._tokens, self._settings = corpus, tokens, settings
        self._capacities, self._examples, self._soft = plan.capacities, examples, soft
        self._evidence = None
        self._tagged = examples is not None and settings.task.tags and examples.tags is not None

    def make_slot(self, pin: bool = False) -> Slot:
        width = self._corpus.feature_width if self._corpus is not None else 1
        return Slot.make(self._capacities, width, 0, None, pin)

    def prepare(self, slot: Slot, rows: Rows, epoch: int, index: int) -> Batch:
        images, pairs = rows.image.astype(np.int64), len(rows)
        text_only = bool(images[0] < 0)
        if text_only:
            damaged, good_P, keep_P = {}, np.ones(pairs, bool), np.zeros(pairs, np.int64)
            cu_regions, boxes_R4 = np.zeros(pairs + 1, np.int32), np.zeros((0, 4), np.float32)
            sizes_P2 = np.zeros((pairs, 2), np.int32)
        else:
            damaged, good_P, keep_P, cu_regions, boxes_R4 = self._read_images(slot, images)
            sizes_P2 = self._corpus.sizes[images]
        cu_group = np.flatnonzero(np.diff(rows.group, prepend=-1, append=-1)).astype(np.int32)
        good_G = np.logical_and.reduceat(good_P, cu_group[:-1])
        good_P = np.repeat(good_G, np.diff(cu_group))  # an example counts as a whole
        ids_T, cu_text = self._tokens.gather(rows.caption)
        nothing = np.zeros(0, np.int64)
        values = {
            "input_ids_T": ids_T,
            "token_types_T": self._tokens.gather_types(rows.caption, cu_text),
            "cu_text": cu_text,
            "boxes_R5": box_shares(boxes_R4, keep_P, sizes_P2),
            "zeroed_R": np.zeros(len(boxes_R4), bool),
            "cu_regions": cu_regions,
            "masked_tokens_M": nothing,
            "token_targets_M": nothing,
            "masked_regions_N": nothing,
            "is_match_P": np.where(good_P, self._matches(rows), IGNORED),
            "images_P": images,
            "captions_P": rows.caption,
            "order_3P": longest_first(np.diff(cu_text), keep_P).ravel(),
        }
        groups = self._groups(rows, cu_group, good_G, values["is_match_P"], boxes_R4, cu_regions)
        sizes = {"max_text": int(np.diff(cu_text).max()), "max_regions": int(keep_P.max())}
        told = tuple(damaged[image] for image in images.tolist() if image in damaged)
        more = {"groups": groups, "text_only": text_only, "epoch": epoch, "index": index, "damaged": told}
        if self._tagged:
            more |= self._tags(rows, values["token_types_T"], cu_text, cu_regions)
        return slot.batch(values, len(boxes_R4), **sizes, **more)

    def _matches(self, rows: Rows) -> np.ndarray:
        if self._examples is None:
            return rows.is_match
        if self._examples.is_match_P is None:
            return np.full(len(rows), IGNORED)
        return self._of_pairs(self._examples.is_match_P, rows)

    def _of_pairs(self, values_P: np.ndarray, rows: Rows) -> np.ndarray:
        """What the file says of these rows' pairs, which stand there in the same order within each example."""
        starts = np.flatnonzero(np.diff(rows.group, prepend=-1))
        place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
        return values_P[self._examples.first_pair[rows.group] + place]

    def _tags(
        self, rows: Rows, types_T: np.ndarray, cu_text: np.ndarray, cu_regions: np.ndarray
    ) -> dict[str, torch.Tensor]:
        """The tokens of words that mean a region; without those whose region is not among the kept ones."""
        offsets, tags = self._examples.tags
        first_P, last_P = (self._of_pairs(part, rows) for part in (offsets[:-1], offsets[1:]))
        counts_P = last_P - first_P
        pair_S = np.repeat(np.arange(len(rows)), counts_P)
        own = np.arange(len(pair_S)) - np.repeat(np.cumsum(counts_P) - counts_P, counts_P)
        segment_S, word_S, region_S = tags[np.repeat(first_P, counts_P) + own].T
        pair_T = np.repeat(np.arange(len(rows)), np.diff(cu_text))
        words_T = self._tokens.gather_word_numbers(rows.caption, cu_text)
        place_T = np.stack([pair_T, types_T, words_T])
        place_S = np.stack([pair_S, segment_S, word_S])
        row_S = (cu_regions[pair_S] + region_S)[order := np.lexsort(place_S[::-1])]
        seen_S = (region_S < np.diff(cu_regions)[pair_S])[order]
        found_T, tagged_T = _meet(place_T, place_S[:, order])
        tagged_T[tagged_T] = seen_S[found_T[tagged_T]]
        words = np.flatnonzero(tagged_T)
        return {
            "tagged_words_S": torch.from_numpy(words),
            "tagged_regions_S": torch.from_numpy(row_S[found_T[words]].astype(np.int64)),
        }

    def _groups(
        self,
        rows: Rows,
        cu_group: np.ndarray,
        good_G: np.ndarray,
        is_match_P: np.ndarray,
        boxes_R4: np.ndarray,
        cu_regions: np.ndarray,
    ) -> Groups:
        numbers_G = rows.group[cu_group[:-1]].astype(np.int64)
        known_G, rest = self._known(numbers_G, good_G, cu_group, is_match_P, boxes_R4, cu_regions)
        overlaps_R = rest.get("overlaps_R")
        return Groups(
            cu_group=torch.from_numpy(cu_group),
            examples_G=torch.from_numpy(numbers_G),
            largest=int(np.diff(cu_group).max()),
            known=int(known_G.sum()),
            damaged_G=torch.from_numpy(~good_G),
            sought=0 if overlaps_R is None else int((~np.isnan(overlaps_R)).sum()),
            **{name: torch.from_numpy(array) for name, array in rest.items()},
        )

    def _known(
        self,
        numbers_G: np.ndarray,
        good_G: np.ndarray,
        cu_group: np.ndarray,
        is_match_P: np.ndarray,
        boxes_R4: np.ndarray,
        cu_regions: np.ndarray,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Of which groups something is known, and what."""
        examples = self._examples
        if examples is None or examples.kind == "match":
            return np.logical_or.reduceat(is_match_P != IGNORED, cu_group[:-1]), {}
        known_G = examples.known_N[numbers_G] & good_G
        if examples.scores is not None:
            scores_GK = np.zeros((len(numbers_G), len(examples.classes)), np.float32)
            scores_GK[~known_G] = np.nan
            offsets, classes, weights = examples.scores
            for group in np.flatnonzero(known_G):
                at = slice(*offsets[numbers_G[group] : numbers_G[group] + 2])
                scores_GK[group, classes[at]] = weights[at]
            return known_G, {"scores_GK": scores_GK}
        if self._soft:
            return np.zeros_like(known_G), {
                "scores_GK": np.full((len(numbers_G), len(examples.classes)), np.nan, np.float32)
            }
        if examples.kind == "score":
            return known_G, {"values_G": np.where(known_G, examples.values_N[numbers_G], np.nan)}
        if examples.kind == "point":
            return known_G, {"overlaps_R": self._overlaps(numbers_G, known_G, boxes_R4, cu_regions)}
        return known_G, {"labels_G": np.where(known_G, examples.labels_N[numbers_G], IGNORED)}

    def _overlaps(
        self, numbers_G: np.ndarray, known_G: np.ndarray, boxes_R4: np.ndarray, cu_regions: np.ndarray
    ) -> np.ndarray:
        offsets, sought = self._examples.boxes
        overlaps_R = np.full(len(boxes_R4), np.nan, np.float32)
        for group in np.flatnonzero(known_G):  # a pair each
            own = slice(*cu_regions[group : group + 2])
            wanted = sought[slice(*offsets[numbers_G[group] : numbers_G[group] + 2])]
            overlaps_R[own] = overlaps_RB(boxes_R4[own], wanted).max(axis=1)
        return overlaps_R


def _meet(place_3T: np.ndarray, sorted_3S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each place (pair, segment, word) which of the sorted ones it is, and whether it is any."""
    most = 1 + max(int(each.max(initial=0)) for each in (place_3T[2], sorted_3S[2]))
    key_T, key_S = ((pair * 2 + segment) * most + word for pair, segment, word in (place_3T, sorted_3S))
    key_T = np.where(place_3T[2] < 0, -1, key_T)  # [CLS] and [SEP] are of no word
    found_T = key_S.searchsorted(key_T).clip(max=max(len(key_S) - 1, 0))
    return found_T, (key_S[found_T] == key_T) if len(key_S) else np.zeros(len(key_T), bool)
