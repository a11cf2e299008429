"""What is predicted from the hidden states."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interbert.kernels.dropout import dropout
from interbert.model.layers.linear import Linear
from interbert.model.layers.norm import LayerNorm
from interbert.model.shape.configuration import InterBertConfig

MATCH = 0
"""The class that means "caption and image belong together"; the other one is 1."""


class Transform(nn.Module):
    """dense, GELU, LayerNorm."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x_NH: Tensor) -> Tensor:
        return self.norm(self.dense(x_NH, gelu=True))


class PredictionHead(nn.Module):
    """Transform, then a linear layer: words, region classes, or region features.

    For words the decoder's weight *is* the word embedding: one Parameter in two modules, which ZeRO-3's hooks
    gather for each of them, and which `_tied_weights_keys` keeps one through saving and loading.
    """

    def __init__(self, config: InterBertConfig, outputs: int) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.decoder = Linear(config.hidden_size, outputs)

    def forward(self, x_NH: Tensor) -> Tensor:
        return self.decoder(self.transform(x_NH))


class Pooler(nn.Module):
    """First token of a stream, linear, ReLU; tanh where the match head is BERT's."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.pooler_size)
        self.activation = F.relu if config.match_head == "fused" else torch.tanh

    def forward(self, x_NH: Tensor, first_P: Tensor) -> Tensor:
        return self.of_first(x_NH.index_select(0, first_P))

    def of_first(self, first_PH: Tensor) -> Tensor:
        return self.activation(self.dense(first_PH))


class FusedMatchHead(nn.Module):
    """Do caption and image belong together? From a vector of each, as two classes."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.fusion = config.fusion
        self.dropout = config.pooled_dropout
        self.classifier = nn.Linear(config.pooler_size, 2)

    def forward(self, text_PQ: Tensor, image_PQ: Tensor) -> Tensor:
        fused_PQ = self.fuse(text_PQ, image_PQ)
        return self.classifier(dropout(fused_PQ, self.dropout, self.training))

    def fuse(self, text_PQ: Tensor, image_PQ: Tensor) -> Tensor:
        return text_PQ * image_PQ if self.fusion == "mul" else text_PQ + image_PQ


class ClsMatchHead(nn.Module):
    """The same from the caption's first token, which has seen the image, as one logit."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dropout = config.pooled_dropout
        self.classifier = nn.Linear(config.hidden_size, 1)

    def forward(self, first_PH: Tensor) -> Tensor:
        return self.classifier(dropout(first_PH, self.dropout, self.training))


class PooledMatchHead(nn.Module):
    """The same from that token's pooled vector, as two classes."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dropout = config.pooled_dropout
        self.classifier = nn.Linear(config.pooler_size, 2)

    def forward(self, text_PQ: Tensor) -> Tensor:
        return self.classifier(dropout(text_PQ, self.dropout, self.training))


MATCH_HEADS = {"fused": FusedMatchHead, "cls": ClsMatchHead, "pooled": PooledMatchHead}


def match_log_odds(logits_P2: Tensor) -> Tensor:
    """How much more likely a match is than none, as a logarithm."""
    if logits_P2.shape[-1] == 1:
        return logits_P2[:, 0]
    return logits_P2[:, MATCH] - logits_P2[:, 1 - MATCH]


def match_probability(logits_P2: Tensor) -> Tensor:
    """Probability that caption and image belong together; hides which class says so, or that there is one logit."""
    if logits_P2.shape[-1] == 1:
        return logits_P2.float().sigmoid()[..., 0]
    return logits_P2.float().softmax(-1)[..., MATCH]
