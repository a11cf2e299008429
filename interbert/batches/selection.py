"""Some pairs of a packed batch as a batch of their own."""

from dataclasses import replace

import torch
from torch import Tensor

from interbert.batches.batch import Batch, Groups


def hardest_of_sets(batch: Batch, odds_P: Tensor, keep: int) -> Batch:
    """Of each set, whose true pair stands first, that pair and the `keep` false ones with the highest odds.

    All sets have equally many pairs, and nothing is masked.
    """
    groups, pairs = batch.groups, batch.groups.largest
    false_GM = odds_P.view(-1, pairs)[:, 1:]
    chosen_GM = false_GM.topk(keep, dim=1).indices.sort(dim=1).values + 1
    first_G1 = groups.cu_group[:-1, None].long()
    own_GM = torch.cat([first_G1, first_G1 + chosen_GM], dim=1)
    count, kept = own_GM.shape
    kept_groups = replace(
        groups,
        cu_group=torch.arange(0, count * kept + 1, kept, dtype=torch.int32, device=own_GM.device),
        largest=kept,
    )
    return pairs_of(batch, own_GM.flatten(), kept_groups)


def pairs_of(batch: Batch, pairs_Q: Tensor, groups: Groups | None) -> Batch:
    """These pairs, in this order, of a batch in which nothing is masked; groups: whose they then are."""
    text_T, cu_text = rows_of(batch.cu_text, pairs_Q)
    regions_R, cu_regions = rows_of(batch.cu_regions, pairs_Q)
    texts_Q, regions_Q = cu_text.diff(), cu_regions.diff()
    order_3Q = torch.stack([texts_Q, regions_Q, texts_Q + regions_Q]).argsort(
        dim=1, descending=True, stable=True
    )
    return replace(
        batch,
        input_ids_T=batch.input_ids_T[text_T],
        token_types_T=batch.token_types_T[text_T],
        cu_text=cu_text,
        features_RD=batch.features_RD[regions_R],
        boxes_R5=batch.boxes_R5[regions_R],
        zeroed_R=batch.zeroed_R[regions_R],
        cu_regions=cu_regions,
        is_match_P=batch.is_match_P[pairs_Q],
        images_P=batch.images_P[pairs_Q],
        captions_P=batch.captions_P[pairs_Q],
        order_3P=order_3Q.int(),
        groups=groups,
    )


def rows_of(cu: Tensor, pairs_Q: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that these pairs own, one pair's after another's; and where each pair's begin among them."""
    lengths_Q = cu.diff()[pairs_Q]
    ends_Q = lengths_Q.cumsum(0)
    shift_Q = cu[:-1][pairs_Q] - (ends_Q - lengths_Q)
    total = int(ends_Q[-1])
    rows = torch.arange(total, device=cu.device) + shift_Q.repeat_interleave(lengths_Q, output_size=total)
    return rows, torch.cat([ends_Q.new_zeros(1), ends_Q]).int()
