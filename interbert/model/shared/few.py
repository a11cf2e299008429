"""Attention of a few rows of each pair, such as its first token's, to all rows of the pair.

Keys and values of so few queries need not be made: what a query asks of a key, q (W_k x + b_k), is (q W_k) x and a
number that is the same for all keys, which a softmax does not see; and a mixture of values, W_v x + b_v, is W_v of
the mixture, and b_v. So two products over all rows become four over the few that ask.
"""

import torch
from torch import Tensor, nn

from interbert.model.layers.encoder import Layer


def attend_few(
    asks: Layer, tells: Layer, asking_PQH: Tensor, rows_NH: Tensor, cu: Tensor, longest: int
) -> Tensor:
    """[P, Q, H]: what Q rows of each pair see in the rows cu[p]:cu[p+1].

    Queries are made by `asks`, keys and values by `tells`. Where a pair has no rows, zeros.
    """
    pairs, asking, hidden = asking_PQH.shape
    heads, width = tells.heads, tells.head_width
    weight_3hdH, bias_3hd = (
        whole_weight(tells.qkv).view(3, heads, width, hidden),
        tells.qkv.bias.view(3, heads, width),
    )
    queries = torch.nn.functional.linear(
        asking_PQH.flatten(0, 1), whole_weight(asks.qkv)[:hidden], asks.qkv.bias[:hidden]
    )
    queries_hNd = queries.view(-1, heads, width).transpose(0, 1)
    asked_hNH = torch.bmm(queries_hNd, weight_3hdH[1]) * width**-0.5

    rows_PL, real_PL = places(cu, longest)
    rows_PLH = rows_NH.index_select(0, rows_PL.flatten()).view(pairs, longest, hidden)
    asked_PAH = asked_hNH.transpose(0, 1).reshape(pairs, asking * heads, hidden)
    scores_PAL = torch.bmm(asked_PAH, rows_PLH.transpose(1, 2))
    nothing_P = ~real_PL.any(1)
    hidden_PL = ~(real_PL | nothing_P[:, None])  # a softmax over nothing would be NaN
    shares_PAL = scores_PAL.float().masked_fill(hidden_PL[:, None], -torch.inf).softmax(-1)
    mixed_PAH = torch.bmm(shares_PAL.to(rows_PLH.dtype), rows_PLH)
    mixed_hNH = mixed_PAH.view(pairs * asking, heads, hidden).transpose(0, 1)
    seen_hNd = torch.bmm(mixed_hNH, weight_3hdH[2].transpose(1, 2)) + bias_3hd[2][:, None]
    seen_PQH = seen_hNd.transpose(0, 1).reshape(pairs, asking, hidden)
    return seen_PQH.masked_fill(nothing_P[:, None, None], 0)


def whole_weight(linear: nn.Module) -> Tensor:
    """With what peft's adapters around it add, where they are not merged into it."""
    adds = getattr(linear, "get_delta_weight", None)
    if adds is None or linear.merged or linear.disable_adapters:
        return linear.weight
    return sum(map(adds, linear.active_adapters), linear.weight)


def places(cu: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Row of each place of [P, longest] (0 where there is none), and whether there is one."""
    place_L = torch.arange(longest, device=cu.device)
    real_PL = place_L < cu.diff()[:, None]
    return torch.where(real_PL, cu[:-1, None] + place_L, 0).long(), real_PL
