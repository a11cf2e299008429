"""A vector of a text and of an image, each from its stream run alone: what a search compares first."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import SEARCH_LOOKS


class Look(nn.Module):
    """The first row of each text or image, and a few mixtures of its rows, as one vector of length 1."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.weigh = nn.Linear(config.hidden_size, SEARCH_LOOKS)
        self.dense = nn.Linear((SEARCH_LOOKS + 1) * config.hidden_size, config.search_width)

    def forward(self, x_NH: Tensor, cu: Tensor) -> Tensor:
        """fp32 [B, width] of the rows cu[b]:cu[b+1], of which each has some."""
        batch, lengths_B = len(cu) - 1, cu.diff().long()
        owner_N = torch.repeat_interleave(
            torch.arange(batch, device=cu.device), lengths_B, output_size=len(x_NH)
        )
        weights_NA = shares(self.weigh(x_NH).float(), owner_N, batch)
        mixed_NAH = weights_NA[:, :, None] * x_NH.float()[:, None]
        mixed_BAH = mixed_NAH.new_zeros(batch, *mixed_NAH.shape[1:]).index_add(0, owner_N, mixed_NAH)
        first_BH = x_NH.index_select(0, cu[:-1].long()).float()
        read = torch.cat([first_BH[:, None], mixed_BAH], 1).flatten(1).to(self.dense.weight.dtype)
        return F.normalize(self.dense(read).float(), dim=-1)


class SearchHead(nn.Module):
    """One for each stream."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.text, self.image = Look(config), Look(config)

    def forward(
        self, text_TH: Tensor, cu_text: Tensor, image_VH: Tensor, cu_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.text(text_TH, cu_text), self.image(image_VH, cu_image)


def shares(scores_NA: Tensor, owner_N: Tensor, owners: int) -> Tensor:
    """A softmax over the rows of each owner."""
    most_BA = scores_NA.detach().new_full((owners, scores_NA.shape[1]), -torch.inf)
    most_BA.scatter_reduce_(0, owner_N[:, None].expand_as(scores_NA), scores_NA.detach(), "amax")
    raised_NA = (scores_NA - most_BA[owner_N]).exp()
    sums_BA = torch.zeros_like(most_BA).index_add(0, owner_N, raised_NA)
    return raised_NA / sums_BA[owner_N]
