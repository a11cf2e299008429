"""The pretraining objectives: pure functions from logits and targets to a sum and a count.

The mean is taken by whoever knows the global count. Arithmetic is fp32 whatever the model runs in. A label of
-100 is ignored. With nothing to predict the sum is an exact zero that still carries (zero) gradients.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from interbert.batches.batch import Batch
from interbert.kernels.cross_entropy import cross_entropy
from interbert.model.layers.heads import MATCH
from interbert.model.outputs import PackedOutput

IGNORED = -100


class Loss(NamedTuple):
    """Of one objective on one batch; the mean is taken over a whole step."""

    sum: Tensor
    count: Tensor
    correct: Tensor
    """How many predictions were right; for mrfr, which has no right and wrong, always 0."""


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
    target_NK = class_probs_NK.float()
    kl_N = F.kl_div(logits_NK.float().log_softmax(-1), target_NK, reduction="none").sum(-1)
    return _sum_where(kl_N, labels_N)


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


def _sum_where(losses_N: Tensor, labels_N: Tensor | None) -> tuple[Tensor, Tensor]:
    if labels_N is None:
        return losses_N.sum(), _count(losses_N)
    counted_N = labels_N != IGNORED
    return losses_N.masked_fill(~counted_N, 0.0).sum(), counted_N.sum()


def _correct(logits_NK: Tensor, targets_N: Tensor) -> Tensor:
    return ((logits_NK.argmax(-1) == targets_N) & (targets_N != IGNORED)).sum()


def _count(rows_N: Tensor) -> Tensor:
    return torch.full((), rows_N.shape[0], device=rows_N.device)


COUNTED_BY = {
    "msm": "tokens",
    "mlm": "tokens",
    "mrm": "regions",
    "moc": "regions",
    "mrfr": "regions",
    "itm": "pairs",
}
"""The entry of Batch.counts() that each objective's sum is divided by."""


HAVE_ACCURACY = {"msm", "mlm", "mrm", "moc", "itm"}
"""Objectives whose predictions are right or wrong; mrfr's are near or far."""


def losses(names: Iterable[str], output: PackedOutput, batch: Batch) -> dict[str, Loss]:
    """Each objective's sum, count and number of right predictions on a packed batch."""
    return {name: _OF_BATCH[name](output, batch) for name in names}


def _made(by_a_head: Tensor | None) -> Tensor:
    """What an objective reads, its head has been asked for."""
    assert by_a_head is not None
    return by_a_head


def _words(output: PackedOutput, batch: Batch) -> Loss:
    return _classes(_made(output.token_logits_MW), batch.token_targets_M)


def _region_distribution(output: PackedOutput, batch: Batch) -> Loss:
    if batch.class_probs_NK is None:
        raise ValueError(
            "mrm needs class distributions, which this data does not hold; moc takes hard labels"
        )
    logits_NK, probs_NK = _made(output.region_logits_NK), batch.class_probs_NK
    # The detector's own first choice is what counts as right.
    return Loss(*mrm(logits_NK, probs_NK), _correct(logits_NK, probs_NK.argmax(-1)))


def _region_class(output: PackedOutput, batch: Batch) -> Loss:
    if batch.class_labels_N is None:
        raise ValueError(
            "moc needs the detector's classes, which this data does not hold; mrfr takes features"
        )
    return _classes(_made(output.region_logits_NK), batch.class_labels_N)


def _region_features(output: PackedOutput, batch: Batch) -> Loss:
    targets_ND = batch.features_RD.index_select(0, batch.masked_regions_N)
    total, count = mrfr(_made(output.region_features_ND), targets_ND)
    return Loss(total, count, torch.zeros_like(count))


def _matches(output: PackedOutput, batch: Batch) -> Loss:
    logits_P2, is_match_P = _made(output.match_logits_P2), batch.is_match_P
    if logits_P2.shape[-1] == 1:
        return Loss(*itm(logits_P2, is_match_P), ((logits_P2[:, 0] > 0) == is_match_P).sum())
    return _classes(logits_P2, match_classes(is_match_P))


def _classes(logits_NK: Tensor, targets_N: Tensor) -> Loss:
    total, correct = cross_entropy(logits_NK, targets_N, IGNORED)
    return Loss(total, (targets_N != IGNORED).sum(), correct)


_OF_BATCH = {
    "msm": _words,
    "mlm": _words,
    "mrm": _region_distribution,
    "moc": _region_class,
    "mrfr": _region_features,
    "itm": _matches,
}
