"""InterBERT: joint layers over image and text, then layers of its own for each stream. Mathematics only."""

from collections.abc import Callable, Collection
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers.utils import can_return_tuple

from interbert.batches.batch import Batch
from interbert.model.base import InterBertModel, InterBertPreTrainedModel, unpack_image, unpack_text
from interbert.model.layers.embeddings import Pointing
from interbert.model.layers.heads import MATCH_HEADS, PredictionHead, match_probability
from interbert.model.layers.search_head import SearchHead
from interbert.model.losses import itm, mean, moc, mrm, msm, rows_with_mass
from interbert.model.outputs import InterBertOutput, PackedOutput
from interbert.model.packing.layout import Layout
from interbert.model.packing.padding import PaddedInputs
from interbert.model.packing.streams import Streams
from interbert.model.shape.configuration import InterBertConfig

__all__ = ["InterBertForPreTraining", "InterBertModel"]


class InterBertForPreTraining(InterBertPreTrainedModel):
    """InterBERT with the heads of its pretraining."""

    _tied_weights_keys = {"heads.tokens.decoder.weight": "interbert.text_embeddings.words.weight"}  # noqa: RUF012

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        make = {
            "tokens": lambda: PredictionHead(config, config.vocab_size),
            "regions": lambda: PredictionHead(config, config.classes),
            "features": lambda: PredictionHead(config, config.feature_width),
            "match": lambda: MATCH_HEADS[config.match_head](config),
            "search": lambda: SearchHead(config),
        }
        self.heads = nn.ModuleDict({name: make[name]() for name in config.prediction_heads or ()})
        if "tokens" not in self.heads:
            self._tied_weights_keys = {}
        self.post_init()

    def get_output_embeddings(self) -> nn.Module | None:
        """The word head's last layer, whose weight is that of the input embeddings; None without such a head."""
        return self.heads.get_submodule("tokens.decoder") if "tokens" in self.heads else None

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """The layer stays one of ours."""
        decoder, given = self.heads.get_submodule("tokens.decoder"), new_embeddings
        assert isinstance(decoder, nn.Linear) and isinstance(given, nn.Linear)
        decoder.weight, decoder.bias, decoder.out_features = given.weight, given.bias, given.out_features

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_boxes: Tensor | None = None,
        region_mask: Tensor | None = None,
        add_global: bool = False,
        output_attentions: bool | None = None,
        tags: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        region_labels: Tensor | None = None,
        match_labels: Tensor | None = None,
        heads: Collection[str] | None = None,
        output_hidden_states: bool | None = None,
    ) -> InterBertOutput:
        """Padded tensors in and out; text alone and image alone are allowed.

        region_features [B, R, D]; region_boxes [B, R, 5]: x1/W, y1/H, x2/W, y2/H, area share. Region 0 is the
        global token if the caller gives one; `add_global=True` puts it in front (mean feature, whole image).
        tags [S, 3]: pair, token and the region that it means, counted as they are given here; for a model that was
        tuned with them.
        labels [B, L]: the word at each place. region_labels [B, R]: its class, or [B, R, K] its distribution.
        match_labels [B]: 1, text and image belong together; 0, they do not. -100 (of a distribution: zeros) is
        ignored. heads: those that are to run; without, all that the model has.
        """
        given = PaddedInputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            region_features=region_features,
            region_boxes=region_boxes,
            region_mask=region_mask,
            add_global=add_global,
            tags=tags,
        )
        output = self.predict(given, output_attentions, output_hidden_states, heads)
        if region_labels is not None and output.region_logits is not None:
            # The global token has no label.
            region_logits = output.region_logits[:, given.added :]
        else:
            region_logits = None
        loss = _summed(
            [
                _loss("labels", "tokens", output.token_logits, labels, _of_words),
                _loss("region_labels", "regions", region_logits, region_labels, _of_regions),
                _loss("match_labels", "match", output.itm_logits, match_labels, itm),
            ]
        )
        # Made anew, so that a tuple of it begins with the loss.
        return replace(output, loss=loss)

    def predict(
        self,
        given: PaddedInputs,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        heads: Collection[str] | None = None,
    ) -> InterBertOutput:
        """What the heads say of padded inputs; what is not said is as the configuration has it."""
        pointing = self.pointing()
        if given.tags is not None and pointing is None:
            raise ValueError("tags are given, and this model was not tuned with task.tags; leave them out")
        heads = self._checked(heads)
        read = self.interbert.read(given, output_attentions, output_hidden_states, pointing)
        inputs, streams, output = read.inputs, read.streams, read.output()
        if "tokens" in heads:
            output.token_logits = unpack_text(inputs, self.heads["tokens"](streams.text_TH))
        if "regions" in heads:
            output.region_logits = unpack_image(inputs, self.heads["regions"](streams.image_VH))
        if "features" in heads:
            output.region_features = unpack_image(inputs, self.heads["features"](streams.image_VH))
        if "match" in heads and inputs.layout.text_tokens and inputs.layout.image_tokens:
            output.itm_logits = self.heads["match"](
                *self._match_inputs(streams, inputs.layout, read.text_PQ, read.image_PQ)
            )
            output.match_probability = match_probability(output.itm_logits)
        return output

    def pointing(self) -> Pointing | None:
        """Who is tuned on words that point at regions has one."""
        return None

    def forward_packed(
        self,
        batch: Batch,
        heads: Collection[str] | None = None,
        layout: Layout | None = None,
        output_attentions: bool = False,
    ) -> PackedOutput:
        """What training calls: no padding, and of the large heads only the masked rows.

        `heads` are those to run (default: all the model has). Each runs whatever the batch holds, on zero
        rows if need be, so that every rank runs the same modules and every parameter gets a gradient.
        """
        heads = self._checked(heads)
        layout = self.interbert.layout_of(batch) if layout is None else layout
        maps = {} if output_attentions else None
        streams = self.interbert.encode(batch, layout, maps)
        output = PackedOutput(streams.text_TH, streams.image_VH, attentions=maps)
        if "tokens" in heads:
            masked_MH = streams.text_TH.index_select(0, batch.masked_tokens_M)
            output.token_logits_MW = self.heads["tokens"](masked_MH)
        if "regions" in heads or "features" in heads:
            masked_NH = streams.image_VH.index_select(0, layout.region_rows_R[batch.masked_regions_N])
            output.region_logits_NK = self.heads["regions"](masked_NH) if "regions" in heads else None
            output.region_features_ND = self.heads["features"](masked_NH) if "features" in heads else None
        if "match" in heads:
            output.text_pooled_PQ, output.image_pooled_PQ = self.interbert.pool(streams, layout)
            pooled = output.text_pooled_PQ, output.image_pooled_PQ
            output.match_inputs = self._match_inputs(streams, layout, *pooled)
            output.match_logits_P2 = self.heads["match"](*output.match_inputs)
        return output

    def _match_inputs(
        self, streams: Streams, layout: Layout, text_PQ: Tensor | None, image_PQ: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What the match head reads of each pair."""
        if text_PQ is not None and image_PQ is not None:
            return text_PQ, image_PQ
        if text_PQ is not None:
            return (text_PQ,)
        return (streams.text_TH.index_select(0, layout.text_first_P),)

    def _checked(self, heads: Collection[str] | None) -> Collection[str]:
        if heads is None:
            return self.heads.keys()
        missing = sorted(set(heads) - self.heads.keys())
        if missing:
            raise ValueError(f"the model was built without the heads {missing}: add them to prediction_heads")
        return heads


def _loss(
    name: str,
    head: str,
    logits: Tensor | None,
    labels: Tensor | None,
    of: Callable[..., tuple[Tensor, Tensor]],
) -> Tensor | None:
    """The mean over what has a label."""
    if labels is None:
        return None
    if logits is None:
        raise ValueError(
            f"{name} are given, but the head `{head}` did not run: give its inputs, or leave them out"
        )
    return mean(of(logits, labels))


def _of_words(logits_BLW: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor]:
    return msm(logits_BLW.flatten(0, 1), labels_BL.flatten())


def _of_regions(logits_BRK: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if labels.dim() == 2:
        return moc(logits_BRK.flatten(0, 1), labels.flatten())
    probs_NK = labels.flatten(0, 1)
    return mrm(logits_BRK.flatten(0, 1), probs_NK, rows_with_mass(probs_NK))


def _summed(losses: list[Tensor | None]) -> Tensor | None:
    found = [loss for loss in losses if loss is not None]
    return torch.stack(found).sum() if found else None
