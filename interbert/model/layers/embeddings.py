"""Words and regions as vectors of one width."""

import torch
from torch import Tensor, nn

from interbert.kernels.rows.norm import norm_drop
from interbert.kernels.rows.serving import is_whole, serves_norm
from interbert.model.layers.linear import Linear
from interbert.model.layers.norm import LayerNorm
from interbert.model.shape.configuration import InterBertConfig


class TextEmbeddings(nn.Module):
    """Word + position + segment."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.types = nn.Embedding(config.type_vocab_size, config.hidden_size)
        # Only where words see the image: what is added to every word of a pair.
        self.image = Linear(config.feature_width, config.hidden_size) if config.words_see_image else None
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = config.embedding_dropout

    def forward(
        self,
        input_ids_T: Tensor,
        positions_T: Tensor,
        types_T: Tensor,
        whole_TD: Tensor | None = None,
        pointed: tuple[Tensor, Tensor] | None = None,
        words_TH: Tensor | None = None,
    ) -> Tensor:
        """whole_TD: the feature of each word's whole image. pointed: words [S], and what is added to each [S, H].
        words_TH: vectors that stand for the ids."""
        dropout = self.dropout if self.training else 0.0
        if self.image is None and pointed is None and words_TH is None and self._served():
            tables = ((self.words, input_ids_T), (self.positions, positions_T), (self.types, types_T))
            sources = [(table.weight, ids_T.long()) for table, ids_T in tables]
            return norm_drop(sources, self.norm.weight, self.norm.bias, self.norm.eps, dropout)
        words_TH = self.words(input_ids_T) if words_TH is None else words_TH
        x_TH = words_TH + self.positions(positions_T) + self.types(types_T)
        if self.image is not None:
            assert whole_TD is not None
            x_TH = x_TH + self.image(whole_TD.to(x_TH.dtype))
        if pointed is not None:
            x_TH = x_TH.index_add(0, pointed[0], pointed[1].to(x_TH.dtype))
        return self.norm(x_TH, dropout)

    def _served(self) -> bool:
        """Whether looking up, adding, norm and dropout are one operation: not where something stands around a table,
        nor where weights are gathered for each module on its own."""
        tables = self.words, self.positions, self.types
        return all(map(_is_plain, tables)) and serves_norm(
            self.words.weight, self.norm.weight, self.positions.weight, self.types.weight
        )


def _is_plain(table: nn.Module) -> bool:
    return (
        type(table) is nn.Embedding
        and is_whole(table.weight)
        and (table.padding_idx, table.max_norm, table.sparse) == (None, None, False)
        and not (table._forward_hooks or table._forward_pre_hooks)
    )


class Pointing(nn.Module):
    """What a word is given of the region that it means: so much of each number of the region's vector."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        # Nothing at first, so that a model begins as it was without.
        self.gain = nn.Parameter(torch.zeros(hidden))

    def forward(self, region_SH: Tensor) -> Tensor:
        return region_SH * self.gain


class ImageEmbeddings(nn.Module):
    """Region feature + box."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.features = Linear(config.feature_width, config.hidden_size)
        self.boxes = nn.Linear(5, config.hidden_size)
        # Segment and position of image tokens: each image token has the same ones.
        self.places = nn.Embedding(2, config.hidden_size) if config.visual_place else None
        sizes, apart = (config.hidden_size, config.layer_norm_eps), config.image_norm == "parts"
        self.features_norm = LayerNorm(*sizes) if apart else None
        self.boxes_norm = LayerNorm(*sizes) if apart else None
        self.norm = LayerNorm(*sizes) if config.image_norm != "text" else None
        self.dropout = config.embedding_dropout

    def forward(self, features_VD: Tensor, boxes_V5: Tensor, norm_of_words: nn.Module) -> Tensor:
        dtype = self.features.weight.dtype
        features_VH, boxes_VH = self.features(features_VD.to(dtype)), self.boxes(boxes_V5.to(dtype))
        if self.features_norm is not None and self.boxes_norm is not None:
            features_VH, boxes_VH = self.features_norm(features_VH), self.boxes_norm(boxes_VH)
        x_VH = features_VH + boxes_VH
        if self.places is not None:
            x_VH = x_VH + self.places(torch.arange(2, device=x_VH.device)).sum(0)
        norm = norm_of_words if self.norm is None else self.norm
        return norm(x_VH, self.dropout if self.training else 0.0)
