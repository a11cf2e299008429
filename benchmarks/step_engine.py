"""A step as a run takes it: the recipe, the loader, the upload and the engine, on random data; and its parts apart.

Used by benchmarks/train_step.py. A part is timed alone, with the device waited for; in the whole they overlap.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import sub
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import report
from benchmarks.loader_world import CLASSES, WIDTH, open_world, random_candidates
from benchmarks.step_work import model_operations
from interbert.batches.batch import Batch
from interbert.batches.loader import Loader, StepData
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.tokens import tokenise
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.tasks.pretraining.step import PretrainStep, terms_of
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine
from interbert.train.engine.graphs import capture_layers
from interbert.train.engine.optimizer import set_learning_rate
from interbert.train.engine.upload import Upload
from interbert.train.loop import agree
from interbert.train.start.settle import Lengths, settle, tokens_of

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
"""Of the whole, in which so many steps follow each other without a wait; the best one counts."""
PARTS = ("read and packed", "uploaded", "forward and backward", "update", "asked for")
"""The last is how long the host asks for the two before it, without waiting; on a CPU it is their sum."""


class EngineRun:
    """`interbert_base` of a preset's size, about to take its first step."""

    def __init__(self, precision: str, arguments: argparse.Namespace, folder: Path, ranks: Ranks) -> None:
        corpus, tokenizer = open_world(folder, arguments.images)
        settings = load_recipe(
            "interbert_base",
            [f"train.batch={arguments.pairs} pairs", f"train.cuda_graphs={arguments.graphs}"],
        )
        tokens = tokenise(corpus, tokenizer, settings.data.max_text_tokens)
        lengths = Lengths.of_captions(
            tokens, corpus.caption_image, corpus.region_counts, settings.data.max_regions
        )
        config = InterBertConfig.from_preset(arguments.preset, feature_width=WIDTH, classes=CLASSES)
        step = settle(settings, ranks.world_size, tokens_of(ranks.device, config, precision), lengths)
        self.settings = settings.model_copy(update={"step": step})
        self.ranks = ranks
        plan = Plan(corpus, tokens, self.settings, random_candidates(corpus))
        preparer = Preparer(corpus, tokens, plan, self.settings, Vocabulary.of(tokenizer))
        self.loader = Loader(preparer, plan, self.settings)
        engine_config = load_engine_config(
            str(ROOT / "ds_configs" / f"zero0_{precision}.json"), self.settings, ranks.world_size
        )
        model, objectives = InterBertForPreTraining.from_seed(config, 0), settings.objectives
        self.engine = Engine(
            PretrainStep(model, objectives), terms_of(objectives), self.settings, engine_config
        )
        capture_layers(model, self.settings, engine_config, plan.capacities)
        self.graphs = any("forward" in vars(stage) for stage in model.interbert.stages)
        self.taken = 0

    def steps(self) -> Iterator[tuple[int, int]]:
        """Pairs and tokens of each step, once it is asked for. Nothing waits for the device, as in train/loop.py."""
        upload, data = Upload(self.ranks.device), next(self.loader)
        arriving = upload(data.batches)
        while True:
            stats = self.accumulate(arriving, data)
            size = sum(batch.pairs for batch in data.batches), sum(batch.tokens for batch in data.batches)
            upload.wait()
            data = next(self.loader)
            arriving = upload(data.batches)
            self.update(stats)
            yield size

    def accumulate(self, arriving: Iterable[Batch], data: StepData) -> Tensor:
        counts, _ = agree(self.ranks, data.batches, False)()
        set_learning_rate(self.engine.deepspeed.optimizer, self.taken, self.settings.train)
        return self.engine.accumulate(arriving, data.numbers, self.taken, self.engine.scales(counts))

    def update(self, stats: Tensor) -> None:
        self.engine.update(stats)
        self.taken += 1


def measure_engine(
    precision: str, arguments: argparse.Namespace, folder: Path, ranks: Ranks
) -> dict[str, Any]:
    """Seconds of a step, whole and in parts, and what it learnt from."""
    run = EngineRun(precision, arguments, folder, ranks)
    parts = {name: statistics.median(seconds) for name, seconds in parts_of(run, arguments.steps).items()}
    data = next(run.loader)
    operations_a_token = sum(
        model_operations(run.engine.model.config, batch) for batch in data.batches
    ) / sum(batch.tokens for batch in data.batches)
    steps = run.steps()
    next(steps)
    rounds = []
    for _ in range(ROUNDS):
        began = now()
        sizes = list(islice(steps, arguments.steps))
        rounds.append((now() - began, sizes))
    steps.close()
    run.loader.close()
    seconds, sizes = min(rounds, key=lambda one: one[0])
    pairs, tokens = (sum(each) / len(sizes) for each in zip(*sizes, strict=True))
    return {
        "seconds": seconds / len(sizes),
        "rounds": [seconds / len(sizes) for seconds, _ in rounds],
        "parts": parts,
        "pairs": pairs,
        "tokens": tokens,
        "model_operations": operations_a_token * tokens,
        "micro_batches": run.settings.micro_batches,
        "token_budget": run.settings.token_budget,
        "graphs": run.graphs,
    }


def parts_of(run: EngineRun, steps: int) -> dict[str, list[float]]:
    """Each alone, waited for; and for how long a host asks for a step, which bounds it from below."""
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for _ in range(steps + 1):
        times = [now()]
        data = next(run.loader)
        times.append(now())
        there = [batch.to(run.ranks.device) for batch in data.batches]
        times.append(now())
        stats = run.accumulate(there, data)
        asked = time.perf_counter() - times[-1]
        times.append(now())
        run.update(stats)
        asked += time.perf_counter() - times[-1]
        times.append(now())
        for name, seconds in zip(PARTS, (*map(sub, times[1:], times), asked), strict=True):
            found[name].append(seconds)
    return {name: seconds[1:] for name, seconds in found.items()}


def print_engine(precision: str, found: dict[str, Any], square: float) -> None:
    rate = found["model_operations"] / found["seconds"]
    rows = [
        ["the whole, overlapped", found["seconds"], "100%"],
        *([name, seconds, f"{seconds / found['seconds']:.0%}"] for name, seconds in found["parts"].items()),
    ]
    how = f"{found['micro_batches']} micro-batch(es) of up to {found['token_budget']:,} tokens"
    report.table(
        f"{precision} through the engine, {found['pairs']:.0f} pairs a step in {how}, "
        f"{'CUDA graphs' if found['graphs'] else 'no CUDA graphs'}",
        ["", "s/step", "of the whole"],
        rows,
    )
    print(
        f"{found['pairs'] / found['seconds']:,.0f} pairs/s, {found['tokens'] / found['seconds']:,.0f} tokens/s, "
        f"{rate / 1e12:.3g} model TFLOP/s, {rate / square:.0%} of 4096^3"
    )


def now() -> float:
    """When all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
