"""A packed batch through the model and the objectives of pretraining."""

import torch
from torch import Tensor, nn

from interbert import objectives
from interbert.batches.batch import Batch
from interbert.model.shape.heads_needed import needs
from interbert.train.task import Term


class PretrainStep(nn.Module):
    """What the engine wraps: the weighted loss, and each objective's (sum, correct)."""

    def __init__(self, model: nn.Module, weights: dict[str, float]) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.heads = needs(weights)

    def forward(self, batch: Batch, scales: dict[str, float]) -> tuple[Tensor, Tensor]:
        """scales: what each objective's sum is multiplied with, so that the step's loss is a global mean."""
        output = self.model.forward_packed(batch, self.heads)
        found = objectives.losses(list(self.weights), output, batch)
        loss = sum(self.weights[name] * scales[name] * found[name].sum for name in self.weights)
        stats = [torch.stack((found[name].sum, found[name].correct)) for name in self.weights]
        return loss, torch.stack(stats).detach()


def terms_of(weights: dict[str, float]) -> dict[str, Term]:
    return {
        name: Term(weight, objectives.COUNTED_BY[name], name in objectives.HAVE_ACCURACY)
        for name, weight in weights.items()
    }
