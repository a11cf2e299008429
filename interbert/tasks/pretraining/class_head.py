"""Class targets of data that holds its detector's last layer instead of distributions: computed for the masked
regions only, on the device, from the features as they are stored."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from interbert.batches.batch import Batch
from interbert.batches.evidence import CLASS_OBJECTIVES
from interbert.config import Settings
from interbert.corpus.corpus import Corpus


class ClassHead:
    def __init__(self, corpus: Corpus) -> None:
        self._weight_KD, self._bias_K = map(torch.from_numpy, corpus.class_head)

    def __call__(self, batch: Batch) -> Batch:
        """The batch with distributions and labels."""
        features_ND = batch.features_RD.index_select(0, batch.masked_regions_N).float()
        self._weight_KD, self._bias_K = (t.to(features_ND.device) for t in (self._weight_KD, self._bias_K))
        probs_NK = F.linear(features_ND, self._weight_KD, self._bias_K).softmax(-1)
        return replace(batch, class_probs_NK=probs_NK, class_labels_N=probs_NK.argmax(-1))


def class_head_of(corpus: Corpus, settings: Settings) -> ClassHead | None:
    """Where the data has one and an objective asks for classes."""
    wanted = set(settings.objectives) & CLASS_OBJECTIVES
    return ClassHead(corpus) if wanted and corpus.evidence == "class_head" else None
