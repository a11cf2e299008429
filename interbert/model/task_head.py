"""A model with the head of a task on it. What the task is stands in its configuration."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import ModelOutput

from interbert.batches.batch import Batch
from interbert.kernels.dropout import dropout
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.embeddings import Pointing
from interbert.model.outputs import InterBertOutput
from interbert.model.packing.layout import Layout
from interbert.model.packing.streams import Streams
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import TaskShape


@dataclass
class Answered(ModelOutput):
    """What a tuple of the output begins with, as it does elsewhere."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    """[B, classes] of each pair; of pairs of images [B / 2, classes]; [B, 1] a score; [B, R] of each image token."""


@dataclass
class FineTunedOutput(InterBertOutput, Answered):
    """What the model returns, and before it the answer: `logits` [B, classes] of each pair; of pairs of images
    [B / 2, classes]; [B, 1] a score; [B, R] of each image token."""


class InterBertFineTuned(InterBertForPreTraining):
    """A model with the head of a task; `config.task` says what for."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        if config.task is None:
            raise ValueError("config.task is empty: it says what the head is for (fields of TaskShape)")
        self.shape = TaskShape(**config.task)
        width = config.pooler_size if config.match_head in ("fused", "pooled") else config.hidden_size
        width = config.hidden_size if self.shape.kind == "point" else width * self.shape.images
        self.task = TaskHead(width, self.shape, config)
        self.post_init()

    def pointing(self) -> Pointing | None:
        """What words are given of the regions that they mean, if the task has tags."""
        return self.task.pointing

    def predict(self, *given, **asked) -> FineTunedOutput:
        """The two images of an example are two pairs, one after the other."""
        output = FineTunedOutput(**super().predict(*given, **asked))
        if self.shape.kind == "point":
            output.logits = self.task(output.region_hidden)[..., 0]
            return output
        if self.config.match_head in ("fused", "pooled"):
            vector_BQ = self._fused(output.text_pooled, output.region_pooled)
        else:
            assert output.text_hidden is not None
            vector_BQ = output.text_hidden[:, 0]
        output.logits = self.task(self._side_by_side(vector_BQ))
        return output

    def answer(self, batch: Batch) -> Tensor:
        """Logits of a packed batch: [G, classes]; [P, 1] of each pair; [R, 1] of each region."""
        layout = self.interbert.layout_of(batch)
        streams = self.interbert.encode(batch, layout, pointing=self.pointing())
        if self.shape.kind == "point":
            logits = self.task(streams.image_VH.index_select(0, layout.region_rows_R))
        else:
            logits = self.task(self._side_by_side(self._vector(streams, layout)))
        return logits + self._nothing(streams, layout)

    def _vector(self, streams: Streams, layout: Layout) -> Tensor:
        if self.config.match_head in ("fused", "pooled"):
            return self._fused(*self.interbert.pool(streams, layout))
        return streams.text_TH.index_select(0, layout.text_first_P)

    def _nothing(self, streams: Streams, layout: Layout) -> Tensor:
        """An exact 0 that reaches every weight: with a gradient of 0 those that a kind has no use for are treated
        alike at every ZeRO stage."""
        unread = [streams.text_TH[:0].sum(), streams.image_VH[:0].sum()]
        base = self.interbert
        if base.text_pooler is not None:
            unread.append(base.text_pooler(streams.text_TH, layout.text_first_P[:0]).sum())
        if base.image_pooler is not None:
            unread.append(base.image_pooler(streams.image_VH, layout.image_first_P[:0]).sum())
        return torch.stack(unread).sum()

    def _fused(self, text_PQ: Tensor | None, image_PQ: Tensor | None) -> Tensor:
        """Of text alone, and where nothing else is pooled, the text's."""
        assert text_PQ is not None
        if image_PQ is None:
            return text_PQ
        return text_PQ * image_PQ if self.config.fusion == "mul" else text_PQ + image_PQ

    def _side_by_side(self, vector_PQ: Tensor) -> Tensor:
        """The pairs of an example as one row."""
        return vector_PQ.reshape(-1, self.shape.images * vector_PQ.shape[1])


class TaskHead(nn.Module):
    def __init__(self, width: int, shape: TaskShape, config: InterBertConfig) -> None:
        super().__init__()
        self.dropout = config.pooled_dropout
        self.hidden = None
        if shape.head == "mlp":
            self.hidden = nn.Linear(width, 2 * width)
            self.norm = nn.LayerNorm(2 * width, config.layer_norm_eps)
            width *= 2
        self.classifier = nn.Linear(width, shape.outputs)
        self.pointing = Pointing(config.hidden_size) if shape.tags else None

    def forward(self, x_NQ: Tensor) -> Tensor:
        x_NQ = dropout(x_NQ, self.dropout, self.training)
        if self.hidden is not None:
            x_NQ = self.norm(F.gelu(self.hidden(x_NQ)))
        return self.classifier(x_NQ)
