"""A model that was fine-tuned, on examples: its figures, its predictions, and their page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from interbert.config import Kind, Settings, SettingsError
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples, open_examples
from interbert.corpus.tokens import text_table
from interbert.corpus.unknown import warn_of_unknown
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.model.loading import load_ours
from interbert.model.shape.shape import TaskShape
from interbert.ranks.distributed import Ranks
from interbert.store.features_of import refuse_other_features
from interbert.tasks.finetuning.judge import ExampleJudge
from interbert.tasks.finetuning.step import FineTuneStep, term_of
from interbert.tasks.results.results import Origin, write_results
from interbert.tokenizer import load_tokenizer
from interbert.train.checkpoints.tuned_on import read_note

KINDS = get_args(Kind)
CPU_TOKENS, GPU_TOKENS = 4096, 32_768


def evaluate_examples(
    kind: Kind,
    folder: Path,
    path: Path,
    data: Sequence[str],
    output: Path,
    ranks: Ranks,
    *,
    metric: str = "auto",
    precision: str = "auto",
    max_regions: int | None = None,
    max_text_tokens: int | None = None,
    token_budget: int | None = None,
    skip_damaged: bool = False,
) -> dict[str, Any]:
    """Writes results.json, predictions.jsonl and results.html into `output`; the results, on rank 0.

    Texts and regions are cut as the run cut them that tuned the model, unless something else is asked for.
    skip_damaged: compare images with their checksums; examples of those that have changed are in no figure.
    """
    model, tokenizer = load_ours(folder), load_tokenizer(folder)
    head = _head_of(kind, model, folder)
    corpus = Corpus(data) if data else None
    if corpus is not None and corpus.feature_width != model.config.feature_width:
        raise SettingsError(
            f"{folder} takes features {model.config.feature_width} wide, those of the data are "
            f"{corpus.feature_width}; take the store whose detector it was trained on"
        )
    if corpus is not None:
        refuse_other_features(folder, model.config.features_of, ", ".join(data), corpus.features_of)
    noted = read_note(folder)
    max_regions, max_text_tokens = max_regions or noted.max_regions, max_text_tokens or noted.max_text_tokens
    settings = _settings(kind, head, metric, max_regions, max_text_tokens, token_budget, model, ranks)
    if skip_damaged:
        settings = settings.model_copy(
            update={"data": settings.data.model_copy(update={"skip_damaged": sys.maxsize})}
        )
    examples = open_examples(path, corpus, kind, head.classes, "leave it out: the head tells no others apart")
    longest = settings.data.max_text_tokens
    ranks.main_only(lambda: text_table(examples, tokenizer, longest, head.tags) and None)
    _must_fit(head, examples, folder)
    tokens = text_table(examples, tokenizer, longest, head.tags)
    judge = ExampleJudge(examples, tokens, corpus, settings, head.soft)
    warn_of_unknown(tokens, tokenizer, str(path))
    best = "bf16" if has_bf16(ranks.device) else "fp32"
    asked = best if precision == "auto" else precision
    model = model.to(ranks.device, torch.bfloat16 if asked == "bf16" else torch.float32)
    outputs, _ = judge.said(FineTuneStep(model, settings.task, head.soft), term_of(settings.task), ranks)
    origin = Origin(
        str(folder),
        f"{noted.checkpoint}, in {asked}",
        list(data),
        noted.tuned_on,
        noted.tuned_on_fingerprint,
        noted.chosen_on_fingerprint,
    )
    return ranks.main_only(lambda: write_results(output, examples, outputs, corpus, origin, metric))


def _head_of(kind: Kind, model: Any, folder: Path) -> TaskShape:
    """A missing head is refused always: figures of one made anew would mean nothing."""
    if kind == "match":
        if "match" not in model.heads:
            raise SettingsError(f"{folder}: the model has no match head; fine-tune it by --task match")
        return TaskShape("match")
    if model.config.task is None:
        raise SettingsError(f"{folder}: the model has no head for {kind}; fine-tune it by launch/finetune.py")
    head = TaskShape(**model.config.task)
    if head.kind != kind:
        raise SettingsError(f"{folder}: the model's head is for {head.kind}; give --task {head.kind}")
    return head


def _must_fit(head: TaskShape, examples: Examples, folder: Path) -> None:
    if examples.scores is not None and not head.soft:
        raise SettingsError(
            f"{examples.path} weighs several classes, and {folder} was tuned to tell one: give examples with labels"
        )
    if head.tags and examples.tags is None:
        raise SettingsError(
            f"{folder} was tuned with tags, and no example of {examples.path} has any: figures would not be those of "
            "this model; give examples with tags (of VCR: import with --tags)"
        )
    if head.kind == "classify" and examples.pairs_each != head.images:
        raise SettingsError(
            f"{examples.path} has {examples.pairs_each} pairs an example, and {folder} takes {head.images}"
        )


def _settings(
    kind: Kind,
    head: TaskShape,
    metric: str,
    max_regions: int | None,
    max_text_tokens: int | None,
    token_budget: int | None,
    model: Any,
    ranks: Ranks,
) -> Settings:
    budget = token_budget or (CPU_TOKENS if ranks.device.type == "cpu" else GPU_TOKENS)
    positions = model.config.max_position_embeddings
    return Settings(
        name="evaluation",
        task={"kind": kind, "metric": metric, "labels": head.classes or [], "tags": head.tags},
        data={
            "max_text_tokens": min(max_text_tokens or positions, positions),
            "max_regions": max_regions or 100_000,
            "token_budget": budget,
        },
    )
