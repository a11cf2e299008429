"""A packed batch through a model and the head of its task."""

import torch
from torch import Tensor, nn

from interbert.batches.batch import Batch
from interbert.batches.selection import hardest_of_sets
from interbert.config import TaskSettings
from interbert.model.layers.heads import match_log_odds, match_probability
from interbert.objectives import Loss
from interbert.tasks.finetuning import losses
from interbert.train.task import Term


class FineTuneStep(nn.Module):
    """What the engine wraps: the loss and its one row of (sum, correct); and while judging, the answers too."""

    def __init__(self, model: nn.Module, settings: TaskSettings, soft: bool = False) -> None:
        """soft: classes are weighed each for itself."""
        super().__init__()
        self.model = model
        self.settings, self.soft = settings, soft

    def forward(self, batch: Batch, scales: dict[str, float]) -> tuple[Tensor, ...]:
        sets = self.settings.sets
        if self.training and sets and sets.hardest:
            batch = hardest_of_sets(batch, self._odds_undisturbed(batch), sets.hardest)
        logits = self.logits(batch)
        (name,) = term_of(self.settings)
        found = self.loss(logits, batch)
        stats = torch.stack((found.sum, found.correct))[None].detach()
        loss = scales[name] * found.sum
        return (loss, stats) if self.training else (loss, stats, self.answers(logits, batch))

    @torch.no_grad()
    def _odds_undisturbed(self, batch: Batch) -> Tensor:
        """[P]: how likely each pair is to the model as it stands, without dropout."""
        self.model.eval()
        odds_P = match_log_odds(self.logits(batch).float())
        self.model.train()
        return odds_P

    def logits(self, batch: Batch) -> Tensor:
        if self.settings.kind == "match":
            return self.model.forward_packed(batch, {"match"}).match_logits_P2
        return self.model.answer(batch)

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        task = self.settings
        match task.kind, loss_of(task):
            case "classify", _ if self.soft:
                return losses.weighed_classes(logits, batch.groups)
            case "classify", _:
                return losses.one_class(logits, batch.groups)
            case "score", _:
                return losses.value(logits, batch.groups)
            case "choose", _:
                return losses.choice(logits, batch.groups)
            case "match", "cross_entropy":
                return losses.pair_of_set(logits, batch)
            case "match", "triplet":
                return losses.margin(logits, batch, task.margin)
            case "match", _ if task.sets:
                return losses.pair_by_pair_of_sets(logits, batch)
            case "match", _:
                return losses.pair_by_pair(logits, batch)
        return losses.region(logits, batch)

    def answers(self, logits: Tensor, batch: Batch) -> Tensor:
        """fp32, flat in the order of groups: probabilities of classes, choices, pairs or regions; or values."""
        match self.settings.kind:
            case "classify" if not self.soft:
                return logits.float().softmax(-1).flatten()
            case "score":
                return logits.float().flatten()
            case "choose":
                return losses.shares_of_groups(logits[:, 0], batch.groups)
            case "match":
                return match_probability(logits.float())
        return logits.float().sigmoid().flatten()


LOSSES = {
    "classify": ("cross_entropy",),
    "score": ("squared",),
    "choose": ("cross_entropy",),
    "match": ("binary", "cross_entropy", "triplet"),
    "point": ("binary",),
}
"""Of each kind, the usual one first. Examples with weights of several classes are learnt by binary cross-entropy."""


def loss_of(task: TaskSettings) -> str:
    if task.loss == "auto":
        return LOSSES[task.kind][0]
    if task.loss not in LOSSES[task.kind]:
        raise ValueError(
            f"task.loss is {task.loss!r}, and {task.kind} is learnt by {' or '.join(LOSSES[task.kind])}"
        )
    return task.loss


def term_of(task: TaskSettings) -> dict[str, Term]:
    if task.kind == "match" and loss_of(task) == "binary" and not task.sets:
        return {"match": Term(1.0, "pairs")}
    if task.kind == "point":
        return {"point": Term(1.0, "sought")}
    return {task.kind: Term(1.0, "groups", judged=task.kind != "score")}
