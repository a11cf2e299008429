"""One class a task, with a loss each, as Hugging Face users expect them.

The head is the one that fine-tuning puts on a model (`task_head.py`), and so a directory that either wrote is read by
the other. A model without such a head gets a new one, for as many classes as `num_labels` or `id2label` say.
"""

from copy import deepcopy
from dataclasses import asdict, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers.utils import can_return_tuple

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import match_log_odds
from interbert.model.losses import itm, mean, msm, overlap, value, weighed_classes
from interbert.model.packing.padding import PaddedInputs
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import ConfigurationError, TaskShape
from interbert.model.task_head import FineTunedOutput, InterBertFineTuned

_PAIRS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
_IMAGES = ("region_features", "region_boxes", "region_mask")


class _ForTask(InterBertFineTuned):
    """Whoever inherits says of what shape its head is, and what its labels mean."""

    SHAPE: ClassVar[TaskShape]
    """Classes aside."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(_with_head(config, self.SHAPE, type(self).__name__))

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
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        tags: Tensor | None = None,
    ) -> FineTunedOutput:
        """As InterBertForPreTraining.forward; `labels` are those of the task."""
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
        output = self.predict(self._as_pairs(given), output_attentions, output_hidden_states)
        assert output.logits is not None
        logits = self._of_examples(output.logits, given)
        loss = None if labels is None else mean(self._cost(logits, labels))
        return replace(output, loss=loss, logits=logits)

    def _as_pairs(self, given: PaddedInputs) -> PaddedInputs:
        """One text and one image each, whatever an example is."""
        return given

    def _of_examples(self, logits: Tensor, given: PaddedInputs) -> Tensor:
        """The logits of pairs as those of examples."""
        return logits

    def _cost(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sum and count. Numbers of classes, or a weight of each class."""
        if labels.dim() == 2 and labels.is_floating_point():
            return weighed_classes(logits, labels)
        return msm(logits, labels)


class InterBertForQuestionAnswering(_ForTask):
    """Which answer. labels: [B] its number, or [B, answers] how right each is, as VQA has it."""

    SHAPE = TaskShape("classify", soft=True)


class InterBertForSequenceClassification(_ForTask):
    """Which class a text (or two), or a text with an image, is of; with `num_labels=1` what number it has.
    labels: [B] the class; [B, classes] how right each is; or [B] the number."""

    SHAPE = TaskShape("classify")

    def _cost(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.shape.kind == "score":
            return value(logits[:, 0], labels.flatten().float())
        return super()._cost(logits, labels)


class InterBertForVisualReasoning(_ForTask):
    """What is true of two images and a text. region_features [B, 2, R, D], and so the boxes and the mask;
    input_ids [B, L]. labels: [B] the class."""

    SHAPE = TaskShape("classify", images=2)

    def _as_pairs(self, given: PaddedInputs) -> PaddedInputs:
        if (
            given.region_features is None
            or given.region_features.dim() != 4
            or given.region_features.shape[1] != 2
        ):
            raise ValueError("region_features are to be [examples, 2 images, regions, width]")
        return _paired(given, 2)


class InterBertForMultipleChoice(_ForTask):
    """Which text fits an image. input_ids [B, choices, L]; region_features [B, R, D], of an image for all choices,
    or [B, choices, R, D]. labels: [B] the number of the right choice."""

    SHAPE = TaskShape("choose")

    def _as_pairs(self, given: PaddedInputs) -> PaddedInputs:
        if given.words is None or given.words.dim() < 3:
            raise ValueError("input_ids are to be [examples, choices, words]")
        return _paired(given, given.words.shape[1])

    def _of_examples(self, logits: Tensor, given: PaddedInputs) -> Tensor:
        assert given.words is not None
        return logits.view(-1, given.words.shape[1])


class InterBertForRegionChoice(_ForTask):
    """Which region a text means. logits [B, R] of the regions that are given. labels: [B] the number of the region,
    or [B, R] its overlap with what is meant, as fine-tuning has it."""

    SHAPE = TaskShape("point")

    def _of_examples(self, logits: Tensor, given: PaddedInputs) -> Tensor:
        logits_BR = logits[:, given.added :]
        if given.region_mask is None:
            return logits_BR
        return logits_BR.masked_fill(~given.region_mask.bool(), torch.finfo(logits.dtype).min)

    def _cost(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if labels.is_floating_point():
            real_BR = logits > torch.finfo(logits.dtype).min
            return overlap(logits, labels.masked_fill(~real_BR, float("nan")))
        return msm(logits, labels)


class InterBertForImageTextRetrieval(InterBertForPreTraining):
    """Do text and image belong together? By the match head alone. logits [B]: the log-odds that they do.
    labels: [B] 1, they do; 0, they do not."""

    def __init__(self, config: InterBertConfig) -> None:
        if config.match_head == "none":
            raise ConfigurationError(
                "match_head is 'none': this architecture does not match texts and images; take another model"
            )
        if config.task is not None or config.prediction_heads != ["match"]:
            config = deepcopy(config)
            config.task, config.prediction_heads = None, ["match"]
        super().__init__(config)

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
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> FineTunedOutput:
        """As InterBertForPreTraining.forward."""
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
        )
        if given.words is None or region_features is None:
            raise ValueError("a match is of a text and an image: give input_ids and region_features")
        output = self.predict(given, output_attentions, output_hidden_states)
        assert output.itm_logits is not None
        loss = None if labels is None else mean(itm(output.itm_logits, labels))
        # What Trainer takes for predictions are the logits alone.
        said = {**output, "itm_logits": None}
        return FineTunedOutput(**said, loss=loss, logits=match_log_odds(output.itm_logits))


def _with_head(config: InterBertConfig, wanted: TaskShape, asked_by: str) -> InterBertConfig:
    """The configuration with a head of this shape on the encoder, and no other."""
    if config.task is None:
        shape = wanted
        if wanted.kind == "classify" and wanted.images == 1 and not wanted.soft and config.num_labels == 1:
            shape = TaskShape("score")
    else:
        shape = TaskShape(**config.task)
        kinds = ("classify", "score") if asked_by == "InterBertForSequenceClassification" else (wanted.kind,)
        if shape.kind not in kinds or shape.images != wanted.images:
            raise ConfigurationError(
                f"{asked_by}: this model has the head of another task ({shape.kind}, {shape.images} images an "
                "example); take the class of that task, or start from a model that was only pretrained"
            )
    if shape.kind == "classify":
        names: Any = config.id2label or {}  # by numbers, whatever its type says
        shape = replace(shape, classes=[names[n] for n in range(len(names))])
    task = asdict(shape)
    if config.task == task and not config.prediction_heads:
        return config
    config = deepcopy(config)
    config.task, config.prediction_heads = task, []
    return config


def _paired(given: PaddedInputs, pairs: int) -> PaddedInputs:
    """Texts and images [B, pairs, …], or those of an example [B, …] for each of its pairs, one after another."""
    found = {field.name: getattr(given, field.name) for field in fields(PaddedInputs)}
    if given.tags is not None:
        raise ValueError("tags count pairs; give them to the model that fine-tuning exported, pair by pair")
    whole = {"inputs_embeds": 3, "region_features": 3, "region_boxes": 3}
    for name in (*_PAIRS, *_IMAGES):
        x = found[name]
        if x is None:
            continue
        if x.dim() == whole.get(name, 2):
            x = x[:, None].expand(-1, pairs, *x.shape[1:])
        if x.shape[1] != pairs:
            raise ValueError(f"{name} are of {x.shape[1]} to an example; the others are of {pairs}")
        found[name] = x.flatten(0, 1)
    return PaddedInputs(**found)
