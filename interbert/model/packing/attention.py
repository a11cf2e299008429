"""Attention over packed rows: within each pair's rows of one stream, or from one stream's to the other's."""

from functools import cache

from torch import Tensor

from interbert.kernels import attention
from interbert.kernels.attend.cross_attention import cross_attention
from interbert.kernels.attend.fused import units_of_sequences
from interbert.kernels.attend.reference import attention_probabilities
from interbert.model.layers.encoder import Ask
from interbert.model.packing.layout import Layout

STREAMS = ("text", "image", "joint")

BACKENDS = {"interbert": "auto", "eager": "reference", "sdpa": "sdpa", "flash_attention_2": "flash"}
"""What `attn_implementation` means here; `interbert` is what we choose for the device, as in training."""

Maps = dict[str, list[list[Tensor]]]
"""What was attended to, before dropout: by stream (where streams meet, `text_to_image` and `image_to_text`), of each
layer, of each pair [heads, rows that ask, rows that are seen]. Joint rows are image tokens, then words."""


class WithinPairs:
    """Attention within each pair's rows of the stream `kind`."""

    def __init__(
        self, layout: Layout, kind: str, maps: Maps | None = None, implementation: str = "interbert"
    ) -> None:
        self.kind, self.maps, self.backend = kind, maps, BACKENDS[implementation]
        self.cu, self.longest = offsets_of(layout, kind)
        # Once for all layers of a stage.
        self.order = cache(lambda heads: order_of(layout, kind, heads))

    def __call__(self, qkv_N3Hd: Tensor, dropout_p: float) -> Tensor:
        if self.maps is not None:
            self.maps.setdefault(self.kind, []).append(
                maps_of(qkv_N3Hd[:, 0], qkv_N3Hd[:, 1], self.cu, self.cu)
            )
        order = self.order(qkv_N3Hd.shape[2]) if self.cu.is_cuda else None
        return attention(qkv_N3Hd, self.cu, self.longest, dropout_p, order=order, backend=self.backend)


def ask_packed(layout: Layout, maps: Maps | None = None) -> Ask:
    """Attention of one stream's rows to the other's, within each pair."""

    def ask(who: str, queries: Tensor, other: Tensor, dropout_p: float) -> Tensor:
        whom = "image" if who == "text" else "text"
        (cu_q, max_q), (cu_kv, max_kv) = offsets_of(layout, who), offsets_of(layout, whom)
        if maps is not None:
            maps.setdefault(f"{who}_to_{whom}", []).append(maps_of(queries, other[:, 1], cu_q, cu_kv))
        return cross_attention(queries, other[:, 1:], cu_q, cu_kv, max_q, max_kv, dropout_p)

    return ask


def maps_of(queries_NHd: Tensor, keys_MHd: Tensor, cu_q: Tensor, cu_kv: Tensor) -> list[Tensor]:
    """Of each pair [heads, rows that ask, rows that are seen]."""
    of_pairs = (
        x_NHd.float().transpose(0, 1).split(cu.diff().tolist(), dim=1)
        for x_NHd, cu in ((queries_NHd, cu_q), (keys_MHd, cu_kv))
    )
    return [attention_probabilities(q_HLd, k_HLd) for q_HLd, k_HLd in zip(*of_pairs, strict=True)]


def offsets_of(layout: Layout, kind: str) -> tuple[Tensor, int]:
    """Offsets of the stream's rows, and a bound on the longest pair."""
    return {
        "joint": (layout.cu_joint, layout.max_joint),
        "text": (layout.cu_text, layout.max_text),
        "image": (layout.cu_image, layout.max_image),
    }[kind]


def order_of(layout: Layout, kind: str, heads: int) -> Tensor | None:
    """The stream's units, longest first, if the batch says."""
    if layout.order_3P is None:
        return None
    return units_of_sequences(layout.order_3P[STREAMS.index(kind)], heads)
