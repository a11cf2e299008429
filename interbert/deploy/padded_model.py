"""The model that leaves: padded tensors in, named tensors out, no step whose shape depends on numbers.

Letters: B pairs, L places for tokens, R for regions, D the features' width.
"""

import torch
from torch import Tensor, nn

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import match_probability
from interbert.model.packing.image_tokens import WHOLE_IMAGE
from interbert.model.padded import run_stages
from interbert.model.task_head import InterBertFineTuned

TEXT = ("input_ids", "attention_mask", "token_type_ids")
IMAGE = ("region_features", "region_boxes", "region_mask")
HIDDEN = ("text_hidden", "region_hidden")
HEADS = {"tokens": "token_logits", "regions": "region_logits", "features": "region_feature_predictions"}


class PaddedModel(nn.Module):
    """Only what the named outputs need is computed. A model with a global token puts it in front by itself."""

    def __init__(self, model: InterBertForPreTraining, outputs: tuple[str, ...] = ()) -> None:
        """outputs: names of `possible_outputs`; none: what the model is for."""
        super().__init__()
        possible = possible_outputs(model)
        unknown = sorted(set(outputs) - set(possible))
        if unknown:
            raise ValueError(f"this model has no output {', '.join(unknown)}; it has {', '.join(possible)}")
        if model.pointing() is not None:
            raise ValueError("the model was tuned with task.tags, and tags are not exported: tune it without")
        self.model, self.config = model.eval(), model.config
        self.images = images_of(model)
        self.outputs = tuple(name for name in possible if name in (outputs or usual_outputs(possible)))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        region_features: Tensor,
        region_boxes: Tensor,
        region_mask: Tensor,
    ) -> tuple[Tensor, ...]:
        """int64 [B, L] thrice; [B, R, D], [B, R, 5], int64 [B, R]. What is returned stands in `outputs`."""
        text_real, region_real = attention_mask.bool(), region_mask.bool()
        image_BVH, image_real = self._image(region_features, region_boxes, region_real)
        text_BLH = self._text(input_ids, token_type_ids, region_features, region_real)
        base = self.model.interbert
        image_BVH, text_BLH = run_stages(base.stages, image_BVH, text_BLH, image_real, text_real)
        regions_BRH = image_BVH[:, self._added :]
        hidden = {
            "text_hidden": text_BLH.masked_fill(~text_real[..., None], 0),
            "region_hidden": regions_BRH.masked_fill(~region_real[..., None], 0),
        }
        matched = None
        if {"match_logits", "match_probability"} & set(self.outputs):
            matched = self.model.heads["match"](*self._match_inputs(text_BLH, image_BVH))
        return tuple(self._output(name, text_BLH, image_BVH, hidden, matched) for name in self.outputs)

    @property
    def _added(self) -> int:
        return int(self.config.global_token != "none")

    def _image(self, features_BRD: Tensor, boxes_BR5: Tensor, real_BR: Tensor) -> tuple[Tensor, Tensor]:
        if self._added:
            pairs = features_BRD.shape[0]
            mean_BD = _means(features_BRD, real_BR)
            features_BRD = torch.cat([mean_BD[:, None], features_BRD], 1)
            whole_B5 = boxes_BR5.new_tensor(WHOLE_IMAGE).expand(pairs, 1, 5)
            boxes_BR5 = torch.cat([whole_B5, boxes_BR5], 1)
            real_BR = torch.cat([torch.ones_like(real_BR[:, :1]), real_BR], 1)
        embed = self.model.interbert.embed_image
        rows_NH = embed(features_BRD.flatten(0, 1), boxes_BR5.flatten(0, 1))
        return rows_NH.view(*real_BR.shape, self.config.hidden_size), real_BR

    def _text(self, ids_BL: Tensor, types_BL: Tensor, features_BRD: Tensor, real_BR: Tensor) -> Tensor:
        positions_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand(ids_BL.shape)
        whole_ND = None
        if self.config.words_see_image:
            whole_BD = _means(features_BRD, real_BR)
            whole_ND = whole_BD[:, None].expand(*ids_BL.shape, whole_BD.shape[1]).flatten(0, 1)
        embed = self.model.interbert.text_embeddings
        rows_NH = embed(ids_BL.flatten(), positions_BL.flatten(), types_BL.flatten(), whole_ND)
        return rows_NH.view(*ids_BL.shape, self.config.hidden_size)

    def _match_inputs(self, text_BLH: Tensor, image_BVH: Tensor) -> tuple[Tensor, ...]:
        base = self.model.interbert
        if base.text_pooler is None:
            return (text_BLH[:, 0],)
        text_BQ = base.text_pooler.of_first(text_BLH[:, 0])
        if base.image_pooler is None:
            return (text_BQ,)
        return text_BQ, base.image_pooler.of_first(image_BVH[:, 0])

    def _output(
        self,
        name: str,
        text_BLH: Tensor,
        image_BVH: Tensor,
        hidden: dict[str, Tensor],
        matched: Tensor | None,
    ) -> Tensor:
        if name in hidden:
            return hidden[name]
        if name == "match_logits":
            return matched
        if name == "match_probability":
            return match_probability(matched)
        if name == "logits":
            return self._task(text_BLH, image_BVH, hidden["region_hidden"])
        (head,) = (head for head, output in HEADS.items() if output == name)
        rows_BNH = hidden["text_hidden" if head == "tokens" else "region_hidden"]
        return self.model.heads[head](rows_BNH.flatten(0, 1)).view(*rows_BNH.shape[:2], -1)

    def _task(self, text_BLH: Tensor, image_BVH: Tensor, regions_BRH: Tensor) -> Tensor:
        if self.model.shape.kind == "point":
            return self.model.task(regions_BRH)[..., 0]
        rows = self._match_inputs(text_BLH, image_BVH)
        vector_BQ = rows[0]
        if len(rows) == 2:
            vector_BQ = rows[0] * rows[1] if self.config.fusion == "mul" else rows[0] + rows[1]
        # The pairs of an example side by side; a view would forbid the tracer a single example.
        return self.model.task(torch.cat([vector_BQ[n :: self.images] for n in range(self.images)], 1))


def possible_outputs(model: InterBertForPreTraining) -> tuple[str, ...]:
    found = [*HIDDEN, *(HEADS[head] for head in HEADS if head in model.heads)]
    if "match" in model.heads:
        found += ["match_logits", "match_probability"]
    return tuple([*found, "logits"] if isinstance(model, InterBertFineTuned) else found)


def usual_outputs(possible: tuple[str, ...]) -> tuple[str, ...]:
    """Of a fine-tuned model its answers; of one that matches, whether a pair does; else hidden states."""
    for name in ("logits", "match_probability"):
        if name in possible:
            return (name,)
    return HIDDEN


def images_of(model: InterBertForPreTraining) -> int:
    """How many pairs, one after the other, are one example."""
    return model.shape.images if isinstance(model, InterBertFineTuned) else 1


def _means(features_BRD: Tensor, real_BR: Tensor) -> Tensor:
    """Of each pair's regions; zeros where there are none."""
    seen_BRD = features_BRD.masked_fill(~real_BR[..., None], 0)
    return seen_BRD.sum(1) / real_BR.sum(1).clamp(min=1)[:, None]
