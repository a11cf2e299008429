"""The pretraining objectives on a packed batch: what each costs, how much it counted, and how much was right.

Their losses (`model/losses.py`) are pure functions from logits and targets, and named here too.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from interbert.batches.batch import Batch
from interbert.kernels.cross_entropy import cross_entropy
from interbert.kernels.divergence import divergence
from interbert.model.losses import IGNORED, itm, match_classes, mlm, moc, mrfr, mrm, msm
from interbert.model.outputs import PackedOutput

__all__ = ["IGNORED", "Loss", "itm", "losses", "match_classes", "mlm", "moc", "mrfr", "mrm", "msm"]


class Loss(NamedTuple):
    """Of one objective on one batch; the mean is taken over a whole step."""

    sum: Tensor
    count: Tensor
    correct: Tensor
    """How many predictions were right; for mrfr, which has no right and wrong, always 0."""


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
    # The detector's own first choice is what counts as right.
    kl_N, right_N = divergence(_made(output.region_logits_NK), batch.class_probs_NK)
    return Loss(kl_N.sum(), torch.full((), len(kl_N), device=kl_N.device), right_N.sum())


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
