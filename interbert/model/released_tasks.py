"""Heads for downstream tasks over the pretraining model, as the released code has them: four in one model, which was
tuned for one task. `for_task` keeps the one that is meant."""

from dataclasses import asdict, dataclass, fields

from torch import Tensor, nn
from torch.nn import functional as F

from interbert.model.beginning import fill
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import FusedMatchHead
from interbert.model.outputs import InterBertOutput
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import Shape, TaskShape
from interbert.model.task_head import InterBertFineTuned


@dataclass
class TaskOutput(InterBertOutput):
    answer_logits: Tensor | None = None
    """[B, num_labels] of the fused vectors: which answer."""
    score: Tensor | None = None
    """[B, 1] of the fused vectors."""
    region_scores: Tensor | None = None
    """[B, R, 1]"""
    word_scores: Tensor | None = None
    """[B, L, 1]"""


class InterBertForTasks(InterBertForPreTraining):
    """`config.num_labels` is the number of answers."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        assert config.num_labels
        Q, H = config.pooler_size, config.hidden_size
        self.tasks = nn.ModuleDict(
            {
                "answers": nn.Linear(Q, config.num_labels),
                "score": nn.Linear(Q, 1),
                "regions_score": nn.Linear(H, 1),
                "words_score": nn.Linear(H, 1),
            }
        )
        self.post_init()

    def predict(self, *given, **asked) -> TaskOutput:
        output = TaskOutput(**super().predict(*given, **asked))
        p, training = self.config.pooled_dropout, self.training
        if output.text_pooled is not None and output.region_pooled is not None:
            match = self.heads["match"]
            assert isinstance(match, FusedMatchHead)
            fused = F.dropout(match.fuse(output.text_pooled, output.region_pooled), p, training)
            output.answer_logits, output.score = self.tasks["answers"](fused), self.tasks["score"](fused)
        if output.region_hidden is not None:
            output.region_scores = self.tasks["regions_score"](F.dropout(output.region_hidden, p, training))
        if output.text_hidden is not None:
            output.word_scores = self.tasks["words_score"](F.dropout(output.text_hidden, p, training))
        return output


HEADS = {"classify": "answers", "score": "score", "choose": "score", "point": "regions_score"}
"""Which of them a task of that kind reads."""


def for_task(model: InterBertForTasks, kind: str) -> InterBertFineTuned:
    """What fine-tuning, evaluation and the class of that task take. Answers have no names here but their numbers."""
    answers = [str(n) for n in range(model.config.num_labels or 0)] if kind == "classify" else None
    shape = TaskShape(kind, classes=answers, soft=kind == "classify")
    kept = {field.name: getattr(model.config, field.name) for field in fields(Shape)}
    kept |= {"task": asdict(shape), "prediction_heads": []}

    def read(name: str) -> Tensor:
        return model.get_parameter(name.replace("task.classifier.", f"tasks.{HEADS[kind]}.")).detach()

    return fill(InterBertFineTuned.empty(InterBertConfig(**kept)), read).eval()
