"""A packed batch of sets through a model: its streams alone, and together where somebody has to say what is right.

Letters as in batches/batch.py, and W the width of a vector, K pairs of a set.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interbert.batches.batch import Batch
from interbert.batches.selection import pairs_of, rows_of
from interbert.config import DistillSettings
from interbert.model import alone
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import match_log_odds

HELD = 2
"""Pairs of each set that the match head is held to, of a shared trunk: its own, and one that was mined for it."""


class DistillStep(nn.Module):
    """What the engine wraps: the loss, and a row of (sum, right answers) of each term."""

    def __init__(
        self,
        model: InterBertForPreTraining,
        settings: DistillSettings,
        teacher: InterBertForPreTraining | None,
    ) -> None:
        """teacher: None where the trunk is frozen, for then it is the model itself."""
        super().__init__()
        self.model, self.settings = model, settings
        self._teacher: Any = (teacher,)  # no module of this one: it neither learns nor is saved

    def forward(self, batch: Batch, scales: dict[str, float]) -> tuple[Tensor, Tensor]:
        text_GW, image_PW = self.vectors(batch)
        asked = self.settings
        weights, found = asked.weights, {}
        if "contrast" in weights:
            found["contrast"] = contrast(text_GW, image_PW, batch, asked.temperature)
        if weights.keys() & {"imitation", "match"}:  # a contrast needs nobody who has seen both
            told_P = self.told(batch)
        if "imitation" in weights:
            found["imitation"] = imitation(text_GW, image_PW, told_P, batch, asked.temperature)
        if "match" in weights:
            few_Q = first_pairs(batch, HELD)
            few = pairs_of(batch, few_Q, None)
            said_Q = match_log_odds(self.model.forward_packed(few, {"match"}).match_logits_P2.float())
            each = len(few_Q) / len(text_GW)  # counted by the set, as the others are
            found["match"] = tuple(x / each for x in held(said_Q, told_P[few_Q], few))
        loss = sum(weights[name] * scales[name] * sum_ for name, (sum_, _) in found.items())
        return loss, torch.stack([torch.stack(pair) for pair in found.values()]).detach()

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """[G, W] of each set's caption, [P, W] of each pair's image."""
        frozen = self.settings.trunk == "frozen"
        if frozen:
            self.model.interbert.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            firsts = batch.groups.cu_group[:-1].long()
            rows_T, cu_text = rows_of(batch.cu_text, firsts)
            text_TH = alone.text_rows(self.model, batch.input_ids_T[rows_T], cu_text, batch.max_text)
            image_VH, cu_image = alone.image_rows(
                self.model, batch.features_RD, batch.boxes_R5, batch.cu_regions, batch.max_regions
            )
        return self.model.heads["search"](text_TH, cu_text, image_VH, cu_image)

    @torch.no_grad()
    def told(self, batch: Batch) -> Tensor:
        """fp32 [P]: log-odds of a match, as the teacher has them, without dropout."""
        teacher = self._teacher[0]
        model = self.model if teacher is None else teacher
        was = model.training
        model.eval()
        if teacher is not None and next(teacher.parameters()).device != batch.input_ids_T.device:
            teacher.to(batch.input_ids_T.device)
        odds_P = match_log_odds(model.forward_packed(batch, {"match"}).match_logits_P2.float())
        model.train(was)
        return odds_P


def contrast(text_GW: Tensor, image_PW: Tensor, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """Each caption is to find its image among those of all sets, and each set's image its caption, half and half.

    Of the images of its own set besides, of which nobody knows that they are wrong, the teacher speaks; an image may
    come twice, and captions that read alike are no rivals of each other.
    """
    firsts_G, owner_P = batch.groups.cu_group[:-1].long(), _owners(batch)
    scores_GP = text_GW @ image_PW.T / temperature
    own_GP = owner_P[None] == torch.arange(len(firsts_G), device=owner_P.device)[:, None]
    twice_GP = batch.images_P[None] == batch.images_P[firsts_G][:, None]
    true_GP = torch.zeros_like(own_GP)
    true_GP[torch.arange(len(firsts_G), device=owner_P.device), firsts_G] = True
    alike_GG = captions_alike(batch)
    barred_GP = own_GP | twice_GP | alike_GG[:, owner_P]
    scores_GP = scores_GP.masked_fill(barred_GP & ~true_GP, -torch.inf)
    back_GG = (text_GW @ image_PW[firsts_G].T / temperature).T
    same = batch.images_P[firsts_G]
    other_GG = ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    back_GG = back_GG.masked_fill(((same[:, None] == same[None]) | alike_GG) & other_GG, -torch.inf)
    counts_G = _counted(batch)
    losses_G = F.cross_entropy(scores_GP, firsts_G, reduction="none")
    losses_G = (
        losses_G + F.cross_entropy(back_GG, torch.arange(len(same), device=same.device), reduction="none")
    ) / 2
    right_G = scores_GP.argmax(1) == firsts_G
    return (losses_G * counts_G).sum(), (right_G * counts_G).sum().float()


def captions_alike(batch: Batch) -> Tensor:
    """bool [G, G]: whose words are the same, one after the other."""
    rows_T, cu = rows_of(batch.cu_text, batch.groups.cu_group[:-1].long())
    owner_T = torch.repeat_interleave(cu.diff().long(), output_size=len(rows_T))
    words_GL = rows_T.new_full((len(cu) - 1, batch.max_text), -1)
    words_GL[owner_T, torch.arange(len(rows_T), device=rows_T.device) - cu[owner_T]] = batch.input_ids_T[
        rows_T
    ]
    alike_G = words_GL.unique(dim=0, return_inverse=True)[1]
    return alike_G[:, None] == alike_G[None]


def imitation(
    text_GW: Tensor, image_PW: Tensor, told_P: Tensor, batch: Batch, temperature: float
) -> tuple[Tensor, Tensor]:
    """How far the order of a set's images is from the teacher's, as KL; right where both put the same first."""
    groups = len(text_GW)
    owner_P = _owners(batch)
    mine_GK = ((text_GW[owner_P] * image_PW).sum(1) / temperature).view(groups, -1)
    told_GK = told_P.view(groups, -1)
    losses_G = F.kl_div(
        mine_GK.log_softmax(1), told_GK.log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    counts_G = _counted(batch)
    right_G = mine_GK.argmax(1) == told_GK.argmax(1)
    return (losses_G * counts_G).sum(), (right_G * counts_G).sum().float()


def first_pairs(batch: Batch, count: int) -> Tensor:
    """int64: so many of each set."""
    firsts_G = batch.groups.cu_group[:-1].long()
    few_GH = firsts_G[:, None] + torch.arange(min(count, batch.groups.largest), device=firsts_G.device)
    return few_GH.flatten()


def held(said_P: Tensor, told_P: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Each pair's probability of a match against the teacher's."""
    counts_P = (batch.is_match_P != -100).float()
    losses_P = F.binary_cross_entropy_with_logits(said_P, told_P.sigmoid(), reduction="none")
    right_P = (said_P > 0) == (told_P > 0)
    return (losses_P * counts_P).sum(), (right_P * counts_P).sum()


def _owners(batch: Batch) -> Tensor:
    """The set of each pair."""
    sizes_G = batch.groups.cu_group.diff().long()
    numbers = torch.arange(len(sizes_G), device=sizes_G.device)
    return numbers.repeat_interleave(sizes_G, output_size=batch.pairs)


def _counted(batch: Batch) -> Tensor:
    """fp32 [G]: 0 of sets of which an image could not be had."""
    return (batch.is_match_P[batch.groups.cu_group[:-1].long()] != -100).float()
