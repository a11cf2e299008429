"""The losses of fine-tuning: pure functions from logits and what is right to a sum, a count, and how many were right.

Letters as in batches/batch.py; G groups, examples of a task or sets of pairs. Arithmetic is fp32. What has no known
answer counts for nothing: its sum is an exact zero that still carries a gradient.
"""

from dataclasses import replace

import torch
from torch import Tensor

from interbert.batches.batch import Batch, Groups
from interbert.kernels.cross_entropy import cross_entropy
from interbert.model import losses
from interbert.model.layers.heads import match_log_odds
from interbert.objectives import IGNORED, Loss, itm

FAR = -1e9
"""A logit that no choice has."""


def one_class(logits_GK: Tensor, groups: Groups) -> Loss:
    """Cross-entropy of the class."""
    total, correct = cross_entropy(logits_GK, groups.labels_G, IGNORED)
    return Loss(total, (groups.labels_G != IGNORED).sum(), correct)


def weighed_classes(logits_GK: Tensor, groups: Groups) -> Loss:
    """Binary cross-entropy of each class against its weight; right as far as the answered class weighs."""
    answered_G = groups.scores_GK.nan_to_num().gather(1, logits_GK.argmax(1, keepdim=True))[:, 0]
    return Loss(*losses.weighed_classes(logits_GK, groups.scores_GK), answered_G.sum())


def value(logits_G1: Tensor, groups: Groups) -> Loss:
    """Squared distance."""
    total, count = losses.value(logits_G1[:, 0], groups.values_G)
    return Loss(total, count, torch.zeros_like(count))


def choice(logits_P1: Tensor, groups: Groups) -> Loss:
    """Cross-entropy over an example's choices."""
    return one_class(_of_groups(logits_P1[:, 0], groups), groups)


def pair_by_pair(logits_P2: Tensor, batch: Batch) -> Loss:
    """Each pair of a set for itself, by the head of pretraining."""
    is_match_P = batch.is_match_P
    total, count = itm(logits_P2, is_match_P)
    right_P = (match_log_odds(logits_P2.float()) > 0) == (is_match_P == 1)
    return Loss(total, count, (right_P & (is_match_P != IGNORED)).sum())


def pair_by_pair_of_sets(logits_P2: Tensor, batch: Batch) -> Loss:
    """Each pair for itself, a set counting once whatever its size."""
    found, pairs = pair_by_pair(logits_P2, batch), batch.groups.largest
    return Loss(found.sum / pairs, found.count // pairs, found.correct / pairs)


def pair_of_set(logits_P2: Tensor, batch: Batch) -> Loss:
    """Cross-entropy over the pairs of a set, of which one is true."""
    odds_GM = _of_groups(match_log_odds(logits_P2.float()), batch.groups)
    return one_class(odds_GM, _with_label(batch))


def margin(logits_P2: Tensor, batch: Batch, margin: float) -> Loss:
    """How far each false pair's probability comes nearer than a margin to that of the true pair."""
    chance_GM = _of_groups(match_log_odds(logits_P2.float()), batch.groups).sigmoid()
    groups = _with_label(batch)
    known_G = groups.labels_G != IGNORED
    true_G1 = groups.labels_G.clamp(min=0)[:, None]
    near_GM = (margin + chance_GM - chance_GM.gather(1, true_G1)).clamp(min=0)
    real_GM = _places(groups) & ~torch.zeros_like(near_GM, dtype=torch.bool).scatter(1, true_G1, True)
    loss_G = near_GM.masked_fill(~real_GM, 0.0).sum(1)
    right_G = chance_GM.argmax(1) == groups.labels_G
    return Loss(loss_G.masked_fill(~known_G, 0.0).sum(), known_G.sum(), (right_G & known_G).sum())


def region(logits_R1: Tensor, batch: Batch) -> Loss:
    """Binary cross-entropy of each region against its overlap with what is meant, nan where that is unknown."""
    overlaps_R = batch.groups.overlaps_R
    right_R = ((logits_R1[:, 0] > 0) == (overlaps_R > 0.5)) & ~overlaps_R.isnan()
    return Loss(*losses.overlap(logits_R1[:, 0], overlaps_R), right_R.sum())


def shares_of_groups(logits_P: Tensor, groups: Groups) -> Tensor:
    """[P]: the probability of each pair among those of its group."""
    places_GM = _places(groups)
    return _of_groups(logits_P, groups).softmax(-1).masked_select(places_GM)


def _with_label(batch: Batch) -> Groups:
    """The true pair of each set as its label; none where no pair, or more than one, is known to be true."""
    true_GM = _of_groups((batch.is_match_P == 1).float(), batch.groups, empty=0.0)
    labels_G = true_GM.argmax(1).masked_fill(true_GM.sum(1) != 1, IGNORED)
    return replace(batch.groups, labels_G=labels_G)


def _of_groups(values_P: Tensor, groups: Groups, empty: float = FAR) -> Tensor:
    """[G, M]: the pairs of each group side by side, M being those of the largest."""
    places_GM = _places(groups)
    spread_GM = values_P.float().new_full(places_GM.shape, empty)
    return spread_GM.masked_scatter(places_GM, values_P.float())


def _places(groups: Groups) -> Tensor:
    """bool [G, M]: where a group has a pair."""
    pairs_G = groups.cu_group.diff()
    return torch.arange(groups.largest, device=pairs_G.device) < pairs_G[:, None]
