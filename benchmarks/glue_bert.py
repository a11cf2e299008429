"""BERT itself on a task of GLUE, as Hugging Face's library has it: what an InterBERT that began from it is held to.

The examples, their order, the losses, the schedule and the figures are those of launch/finetune.py; the model with
its pooler and its head is transformers' BertForSequenceClassification, and the optimizer torch's AdamW.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from interbert.batches.batch import Batch
from interbert.batches.endless import Position
from interbert.config import Settings
from interbert.corpus.example_line import NAME_IT
from interbert.hub import local_folder
from interbert.model.padded import pad
from interbert.model.shape.shape import TaskShape
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.judge import ExampleJudge
from interbert.tasks.finetuning.step import FineTuneStep
from interbert.tasks.finetuning.task import Judged, open_finetuning, open_judged
from interbert.tasks.results.results import Origin, write_results
from interbert.train.engine.optimizer import set_learning_rate
from interbert.train.engine.schedule import timed
from interbert.train.start.settle import settle, tokens_of


class BertItself(nn.Module):
    """Answers packed batches of text alone."""

    def __init__(self, folder: Path, head: TaskShape) -> None:
        super().__init__()
        self.bert = BertForSequenceClassification.from_pretrained(folder, num_labels=head.outputs)

    def answer(self, batch: Batch) -> Tensor:
        ids_PL, real_PL = pad(batch.input_ids_T, batch.cu_text, batch.max_text)
        types_PL, _ = pad(batch.token_types_T, batch.cu_text, batch.max_text)
        return self.bert(input_ids=ids_PL, attention_mask=real_PL.long(), token_type_ids=types_PL).logits


def bert_itself(settings: Settings, folder: Path, others: dict[str, Path]) -> None:
    """Trains on task.examples, and leaves results.json and predictions of task.validation in the folder; of other
    files of examples in folders below it, by their names."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranks = Ranks(0, 1, 0, device, "python")
    task = open_finetuning(settings, ranks)
    tokens = tokens_of(device, task.shape(), "fp32")
    settings = settings.model_copy(update={"step": settle(settings, 1, tokens, task.lengths)})
    plan = task.plan(settings, ranks)
    settings = timed(settings, plan.epoch(0).micro_batches)
    torch.manual_seed(settings.train.seed)
    model = BertItself(local_folder(settings.model.bert), task.head).to(device)
    step = FineTuneStep(model, settings.task, task.head.soft)
    _train(step, task, settings, plan, ranks)
    judged = {"": task.held_out}
    for name, path in others.items():
        judged[name] = open_judged(
            str(path), settings, None, task.tokenizer, task.head.classes or [], ranks, NAME_IT
        )
    for name, held_out in reversed(judged.items()):  # its own results last: they say that all is there
        _judge(step, task, settings, held_out, folder / name, ranks)


def _train(step: FineTuneStep, task: Any, settings: Settings, plan: Any, ranks: Ranks) -> None:
    (name,), (term,) = task.terms, task.terms.values()
    optimizer, every = _optimizer(step, settings), settings.train
    step.train()
    with task.loader(settings, plan, ranks, Position()) as loader:
        for number in range(every.schedule_steps):
            set_learning_rate(optimizer, number, every)
            batches = next(loader).batches
            count = max(1, sum(batch.counts()[term.counted_by] for batch in batches))
            for batch in batches:
                with torch.autocast("cuda", torch.bfloat16, enabled=ranks.device.type == "cuda"):
                    loss, _ = step(batch.to(ranks.device), {name: 1 / count})
                loss.backward()
            nn.utils.clip_grad_norm_(step.parameters(), every.clip)
            optimizer.step()
            optimizer.zero_grad()


def _optimizer(step: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    every = settings.train
    decayed = [p for p in step.parameters() if p.ndim > 1], [p for p in step.parameters() if p.ndim < 2]
    groups = [
        {"params": own, "weight_decay": decay, "rate": 1.0}
        for own, decay in zip(decayed, (every.weight_decay, 0.0), strict=True)
    ]
    return torch.optim.AdamW(groups, every.learning_rate, every.betas, every.epsilon)


def _judge(
    step: FineTuneStep, task: Any, settings: Settings, held_out: Judged, folder: Path, ranks: Ranks
) -> None:
    judge = ExampleJudge(held_out.examples, held_out.tokens, None, settings, task.head.soft)
    outputs, _ = judge.said(step, task.terms, ranks)
    origin = Origin(
        model=str(settings.model.bert),
        checkpoint=f"step {settings.train.schedule_steps}",
        stores=[],
        tuned_on=str(task.train.examples.path),
        tuned_on_fingerprint=task.train.examples.fingerprint,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, held_out.examples, outputs, None, origin, settings.task.metric, settings.train.seed)
