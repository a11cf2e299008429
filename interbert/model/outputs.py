"""What the model returns, in named fields."""

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import ModelOutput

from interbert.model.layers.heads import match_probability
from interbert.model.packing.attention import Maps


@dataclass
class PackedOutput:
    """Letters as in batches/batch.py; Q is the pooled width. What was not asked for is None."""

    text_hidden_TH: Tensor
    image_hidden_VH: Tensor
    """Of each pair the global token first, then its regions."""
    text_pooled_PQ: Tensor | None = None
    image_pooled_PQ: Tensor | None = None
    token_logits_MW: Tensor | None = None
    """Over the vocabulary, for the masked tokens only."""
    region_logits_NK: Tensor | None = None
    """Over the classes, for the masked regions only."""
    region_features_ND: Tensor | None = None
    """Regressed features of the masked regions."""
    match_logits_P2: Tensor | None = None
    """Two classes, or [P, 1], the logit of a match."""
    match_inputs: tuple[Tensor, ...] = ()
    """What the match head read."""
    attentions: Maps | None = None

    @property
    def match_probability_P(self) -> Tensor | None:
        return None if self.match_logits_P2 is None else match_probability(self.match_logits_P2)


@dataclass
class InterBertOutput(ModelOutput):
    """Padded: zeros where there is no token. What the inputs or the heads do not allow is None."""

    loss: Tensor | None = None
    """Where labels were given: the sum of each objective's mean over what it was given labels for."""
    text_hidden: Tensor | None = None
    region_hidden: Tensor | None = None
    text_pooled: Tensor | None = None
    region_pooled: Tensor | None = None
    token_logits: Tensor | None = None
    region_logits: Tensor | None = None
    region_features: Tensor | None = None
    itm_logits: Tensor | None = None
    match_probability: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    """[B, image tokens + words, H] of the embeddings and of each layer, one stream's layer leaving the other's tokens
    as they were."""
    attentions: tuple[Tensor, ...] | None = None
    """Of each layer [B, heads, image tokens + words, the same], before dropout: 0 where a layer of one stream does
    not look."""
