"""What a model's predictions cost: pure functions from logits and targets to a sum and a count.

The mean is taken by whoever knows the global count. Arithmetic is fp32 whatever the model runs in. A label of
-100 is ignored. With nothing to predict the sum is an exact zero that still carries (zero) gradients.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.kernels.cross_entropy import cross_entropy
from interbert.kernels.divergence import divergence
from interbert.model.layers.heads import MATCH

IGNORED = -100


def msm(logits_MW: Tensor, targets_M: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of masked words."""
    total, _ = cross_entropy(logits_MW, targets_M, IGNORED)
    return total, (targets_M != IGNORED).sum()


mlm = msm
"""The same loss; the two differ in what is masked."""


def moc(logits_NK: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of masked regions against the detector's hard label."""
    return msm(logits_NK, labels_N)


def mrm(logits_NK: Tensor, class_probs_NK: Tensor, labels_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """KL from the detector's distribution, summed over classes; regions labelled -100 are ignored."""
    kl_N, _ = divergence(logits_NK, class_probs_NK)
    return _sum_where(kl_N, labels_N)


def rows_with_mass(class_probs_NK: Tensor) -> Tensor:
    """Labels for mrm: rows of zeros are ignored."""
    return torch.where(class_probs_NK.any(-1), 0, IGNORED)


def mrfr(predicted_ND: Tensor, features_ND: Tensor, labels_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Squared L2 distance to the region's own feature, averaged over its width; -100 as in mrm."""
    distance_N = (predicted_ND.float() - features_ND.float()).square().mean(-1)
    return _sum_where(distance_N, labels_N)


def itm(logits_P2: Tensor, is_match_P: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of image-text matching; `is_match_P` is 1 for a match, 0 for a mismatch. One logit (instead of
    two classes) is that of a match."""
    if logits_P2.shape[-1] == 1:
        counted_P = is_match_P != IGNORED
        target_P = is_match_P.float().masked_fill(~counted_P, 0.0)
        loss_P = F.binary_cross_entropy_with_logits(logits_P2[:, 0].float(), target_P, reduction="none")
        return loss_P.masked_fill(~counted_P, 0.0).sum(), counted_P.sum()
    return msm(logits_P2, match_classes(is_match_P))


def match_classes(is_match_P: Tensor) -> Tensor:
    """Class of each pair in the match head's own polarity."""
    classes_P = (is_match_P != 1).long() ^ MATCH
    return classes_P.masked_fill(is_match_P == IGNORED, IGNORED)


def weighed_classes(logits_GK: Tensor, scores_GK: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of each class against its weight, summed over classes; nan where nothing is known."""
    known_G = ~scores_GK[:, 0].isnan()
    loss_GK = F.binary_cross_entropy_with_logits(
        logits_GK.float(), scores_GK.nan_to_num().float(), reduction="none"
    )
    return loss_GK.sum(1).masked_fill(~known_G, 0.0).sum(), known_G.sum()


def value(logits_G: Tensor, values_G: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance; nan where nothing is known."""
    known_G = ~values_G.isnan()
    loss_G = (logits_G.float() - values_G.nan_to_num().float()).square()
    return loss_G.masked_fill(~known_G, 0.0).sum(), known_G.sum()


def overlap(logits_R: Tensor, overlaps_R: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of each region against its overlap with what is meant; nan where that is unknown."""
    known_R = ~overlaps_R.isnan()
    loss_R = F.binary_cross_entropy_with_logits(
        logits_R.float(), overlaps_R.nan_to_num().float(), reduction="none"
    )
    return loss_R.masked_fill(~known_R, 0.0).sum(), known_R.sum()


def mean(loss: tuple[Tensor, Tensor]) -> Tensor:
    """Of a batch for itself; of nothing 0."""
    total, count = loss
    return total / count.clamp(min=1)


def _sum_where(losses_N: Tensor, labels_N: Tensor | None) -> tuple[Tensor, Tensor]:
    if labels_N is None:
        return losses_N.sum(), torch.full((), losses_N.shape[0], device=losses_N.device)
    counted_N = labels_N != IGNORED
    return losses_N.masked_fill(~counted_N, 0.0).sum(), counted_N.sum()
