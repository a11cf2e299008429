"""Where each token of a packed batch stands: offsets and the gathers between the streams.

Letters as in batches/batch.py. The streams stand one after another, S = [V image tokens ; T text tokens]; the
joint order J has, for each pair, its image tokens and then its text tokens. Both hold the same rows.
Everything is computed where the offsets live and without asking a device for a value.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Layout:
    cu_text: Tensor
    cu_image: Tensor
    cu_joint: Tensor
    """int32 [P+1] each."""
    positions_T: Tensor
    """Place of a token in its caption."""
    text_pair_T: Tensor
    """Pair of each text token."""
    image_from_V: Tensor
    """Image token v is row image_from_V[v] of [R regions ; P global tokens]."""
    region_rows_R: Tensor
    """Image token of each region."""
    stream_of_J: Tensor
    """Joint row j is stream row stream_of_J[j]."""
    joint_of_S: Tensor
    """The inverse."""
    text_first_P: Tensor
    """First text token of each pair."""
    image_first_P: Tensor
    """First image token of each pair."""
    max_text: int
    max_image: int
    max_joint: int
    """Upper bounds of the lengths; max_joint may be loose."""
    order_3P: Tensor | None = None
    """int32: the pairs by their text tokens, by their image tokens and by both, most first."""

    @property
    def image_tokens(self) -> int:
        return self.image_from_V.numel()

    @property
    def text_tokens(self) -> int:
        return self.positions_T.numel()

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "Layout":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Layout(
            **{
                k: v.to(device, non_blocking=non_blocking) if isinstance(v, Tensor) else v
                for k, v in values.items()
            }
        )


def layout(
    cu_text: Tensor,
    cu_regions: Tensor,
    tokens: int,
    regions: int,
    max_text: int,
    max_regions: int,
    global_token: bool = True,
    order_3P: Tensor | None = None,
) -> Layout:
    """The layout of pairs with these offsets; `tokens` and `regions` are the numbers of rows, T and R."""
    device = cu_text.device
    pairs = cu_text.numel() - 1
    added = int(global_token)
    image_tokens = regions + added * pairs
    arange = torch.arange(max(tokens, image_tokens, pairs + 1) + max(tokens, image_tokens), device=device)

    cu_image = cu_regions + added * arange[: pairs + 1].to(cu_regions.dtype)
    text_pair_T = _pair_of_rows(cu_text, arange[:tokens])
    region_pair_R = _pair_of_rows(cu_regions, arange[:regions])
    image_pair_V = _pair_of_rows(cu_image, arange[:image_tokens])

    region_rows_R = arange[:regions] + added * (region_pair_R + 1)
    image_from_V = torch.empty(image_tokens, dtype=torch.int64, device=device)
    image_from_V[region_rows_R] = arange[:regions]
    if global_token:
        image_from_V[cu_image[:-1].long()] = regions + arange[:pairs]

    joint_of_S = torch.cat(
        [arange[:image_tokens] + cu_text[image_pair_V], arange[:tokens] + cu_image[text_pair_T + 1]]
    ).long()
    stream_of_J = torch.empty_like(joint_of_S)
    stream_of_J[joint_of_S] = arange[: image_tokens + tokens]
    return Layout(
        cu_text=cu_text,
        cu_image=cu_image,
        cu_joint=cu_text + cu_image,
        positions_T=arange[:tokens] - cu_text[text_pair_T],
        text_pair_T=text_pair_T,
        image_from_V=image_from_V,
        region_rows_R=region_rows_R,
        stream_of_J=stream_of_J,
        joint_of_S=joint_of_S,
        text_first_P=_first_rows(cu_text, tokens),
        image_first_P=_first_rows(cu_image, image_tokens),
        max_text=max_text,
        max_image=max_regions + added,
        max_joint=max_text + max_regions + added,
        order_3P=order_3P,
    )


def _pair_of_rows(cu: Tensor, rows: Tensor) -> Tensor:
    return torch.searchsorted(cu[1:].long(), rows, right=True)


def _first_rows(cu: Tensor, rows: int) -> Tensor:
    # An empty pair at the end would point behind the last row; what it reads is ignored by every loss.
    return cu[:-1].long().clamp(max=max(rows - 1, 0))
