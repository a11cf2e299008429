"""Many small trainings in one process a rank; writes what happened as JSON.

Starting ranks costs seconds, a training here a fraction of one: so one pair of ranks runs them all.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import engine_checks
import learning_checks
from accumulated import accumulated

from interbert.batches.batch import Batch
from interbert.batches.endless import Position
from interbert.ranks.distributed import start_ranks
from interbert.recipe import load_recipe
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.pretraining.task import open_pretraining
from interbert.train.checkpoints import checkpoint, part_file
from interbert.train.checkpoints.export import full_weights
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine, summarise
from interbert.train.engine.optimizer import set_learning_rate
from interbert.train.loop import agree
from interbert.train.start.build import build_model

STAGE = "{kind: %s, layers: 1, heads: 2, intermediate_size: 64, hidden_dropout: %s, attention_dropout: %s}"
STEPS, FSYNC = 4, os.fsync


def encoder(dropout: float) -> str:
    stages = ", ".join(STAGE % (kind, dropout, dropout) for kind in ("joint", "text", "image"))
    rest = f"embedding_dropout: {dropout}, pooled_dropout: {dropout}"
    return f"model.override={{hidden_size: 32, pooler_size: 32, stages: [{stages}], {rest}}}"


def merge(batches: list[Batch]) -> Batch:
    """Several micro-batches as one."""
    tokens = [0, *torch.tensor([b.input_ids_T.numel() for b in batches]).cumsum(0).tolist()]
    regions = [0, *torch.tensor([b.boxes_R5.shape[0] for b in batches]).cumsum(0).tolist()]
    shifts = {
        "cu_text": tokens,
        "masked_tokens_M": tokens,
        "cu_regions": regions,
        "masked_regions_N": regions,
    }
    values = {}
    for field in dataclasses.fields(Batch):
        parts = [getattr(batch, field.name) for batch in batches]
        if field.name == "order_3P":  # only a hint
            values[field.name] = None
            continue
        if not isinstance(parts[0], torch.Tensor):
            values[field.name] = max(parts) if parts[0] is not None else None
            continue
        if field.name in shifts:
            parts = [part + shift for part, shift in zip(parts, shifts[field.name], strict=False)]
        if field.name.startswith("cu_"):
            parts = [parts[0], *(part[1:] for part in parts[1:])]
        values[field.name] = torch.cat(parts).to(parts[0].dtype)
    return Batch(**values)


def without_masked_regions(batch: Batch) -> Batch:
    none = slice(0, 0)
    names = ("masked_regions_N", "class_probs_NK", "class_labels_N")
    return dataclasses.replace(batch, **{name: getattr(batch, name)[none] for name in names})


def no_space(*arguments, **named):
    raise OSError(28, "No space left on device")


class Trainings:
    def __init__(self, data: Path, ranks) -> None:
        self.data, self.ranks = data, ranks
        self.reference: dict[str, torch.Tensor] = {}

    def build(self, stage: int, precision: str) -> tuple:
        """An engine, and what makes its loader from a position on."""
        start = (
            "data.token_budget=256",
            "train.micro_batches=2",
            "train.schedule_steps=40",
            "train.warmup_share=0",
        )
        settings = load_recipe("scenes", [encoder(0.1), *start], data={"train": [str(self.data)]})
        config = load_engine_config(
            f"{ROOT}/ds_configs/zero{stage}_{precision}.json", settings, self.ranks.world_size
        )
        task = open_pretraining(settings, self.ranks)

        def loader(position: Position):
            return task.loader(settings, task.plan(settings, self.ranks), self.ranks, position)

        return Engine(task.step(build_model(task)), task.terms, settings, config), loader

    def crossed(self, before: int, after: int) -> dict:
        """Two steps at one ZeRO stage, a checkpoint, and two more at that stage and at another."""
        folder = self.data.parent / f"crossed_{before}_{after}"
        engine, loader_at = self.build(before, "fp32")
        position, ends = Position(), []
        with loader_at(position) as loader:
            for step in range(2):
                data = next(loader)
                self.step(engine, data.batches, data.numbers, step, False)
            saved = checkpoint.save(engine.deepspeed, folder, {"step": 2}, self.ranks)
            position = data.position
        other, _ = self.build(after, "fp32")
        checkpoint.load(other.deepspeed, saved, checkpoint.verify(saved))
        for each in (engine, other):
            with loader_at(position) as loader:
                for step in (2, 3):
                    data = next(loader)
                    self.step(each, data.batches, data.numbers, step, False)
            ends.append(full_weights(each))
        return {"difference": max(float((ends[0][n] - ends[1][n]).abs().max()) for n in ends[0])}

    def failing_save(self, stage: int) -> dict:
        """What happens when the disk of the last rank is full."""
        engine, _ = self.build(stage, "fp32")
        folder = self.data.parent / f"failing_{stage}"
        if self.ranks.rank == self.ranks.world_size - 1:
            part_file.os.fsync = no_space
        said = ""
        try:
            checkpoint.save(engine.deepspeed, folder, {"step": 1}, self.ranks)
        except checkpoint.CheckpointError as error:
            said = str(error)
        part_file.os.fsync = FSYNC
        return {"said": self.ranks.gather(said), "left": [str(path) for path in folder.rglob("*")]}

    def train(self, stage, precision, *sets, dropout=0.1, poison=None, merged=False, unmasked=()) -> dict:
        """Trains STEPS steps.

        poison: the step whose loss is made infinite on the last rank. merged: the micro-batches of a step as one.
        unmasked: ranks that are given nothing of MRM to predict.
        """
        start = (
            "data.token_budget=256",
            "train.micro_batches=2",
            "train.schedule_steps=40",
            "train.warmup_share=0",
        )
        settings = load_recipe("scenes", [encoder(dropout), *start, *sets], data={"train": [str(self.data)]})
        inner = settings
        if merged:
            inner = settings.model_copy(
                update={"train": settings.train.model_copy(update={"micro_batches": 1})}
            )
        path = f"{ROOT}/ds_configs/zero{stage}_{precision}.json"
        config = load_engine_config(path, inner, self.ranks.world_size)
        task = open_pretraining(settings, self.ranks)
        engine = Engine(task.step(build_model(task)), task.terms, inner, config)
        before = full_weights(engine)
        loader = task.loader(settings, task.plan(settings, self.ranks), self.ranks, Position())
        record = {
            "losses": [],
            "skipped": [],
            "pairs": 0,
            "by_objective": {n: [] for n in settings.objectives},
        }
        record["accumulation"] = config.accumulation
        record["recomputes"] = all(stage.gradient_checkpointing for stage in engine.model.interbert.stages)
        for step in range(STEPS if poison is None else 3):
            data = next(loader)
            batches = [merge(data.batches)] if merged else data.batches
            if self.ranks.rank in unmasked:
                batches = [without_masked_regions(batch) for batch in batches]
            found = self.step(engine, batches, data.numbers[: len(batches)], step, poison == step)
            record["losses"].append(found["loss"])
            record["skipped"].append(found["skipped"])
            record["pairs"] += found["pairs"]
            for name in settings.objectives:
                record["by_objective"][name].append(found[f"loss/{name}"])
        loader.close()
        return record | self.compare(
            full_weights(engine), before, reference=stage == 0 and not sets and not merged
        )

    def step(
        self, engine: Engine, batches: list[Batch], numbers: list[int], step: int, poisoned: bool
    ) -> dict:
        settings = engine.settings
        counts, _ = agree(self.ranks, batches, False)()
        set_learning_rate(engine.deepspeed.optimizer, step, settings.train)
        scales = engine.scales(counts)
        if poisoned and self.ranks.rank == self.ranks.world_size - 1:
            scales = dict.fromkeys(scales, math.inf)
        result = engine.update(engine.accumulate(batches, numbers, step, scales))
        sums = self.ranks.sum(result.stats.double().flatten().tolist())
        values = []
        for i, term in enumerate(engine.terms.values()):
            values += [sums[2 * i], sums[2 * i + 1], counts[term.counted_by]]
        figures = summarise(engine.terms, values)
        return figures | {
            "skipped": result.skipped,
            "pairs": counts["samples"],
            "grad_norm": result.grad_norm,
        }

    def compare(self, weights: dict, before: dict, reference: bool) -> dict:
        if reference and not self.reference:
            self.reference = weights
        return {
            "finite": all(bool(w.isfinite().all()) for w in weights.values()),
            "moved": max(float((weights[n] - before[n]).abs().max()) for n in weights),
            "largest_difference": max(float((weights[n] - self.reference[n]).abs().max()) for n in weights),
            "weights": [float(w.flatten()[0]) for w in weights.values()],
        }


def make_store(store: Path) -> None:
    if not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        write_scenes(store, 96, 1, feature_width=32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--stages", type=int, nargs="*", default=[], help="where each trouble is made")
    parser.add_argument("--averaged", nargs="*", default=[], metavar="ENGINE", help="to be run with averages")
    parser.add_argument("--adapted", type=int, nargs="*", default=[], metavar="STAGE", help="with adapters")
    parser.add_argument("--local_rank")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ranks = start_ranks()
    store = arguments.data / "scenes.h5"
    ranks.main_only(lambda: make_store(store))
    trainings = Trainings(store, ranks)
    results = record(trainings, ranks.world_size, arguments.stages)
    if ranks.world_size > 1:
        results |= learning_checks.record(trainings, encoder(0.1), arguments.averaged, arguments.adapted)
    if ranks.is_main:
        arguments.output.write_text(json.dumps(results, indent=1))
    ranks.close()


def record(trainings: Trainings, world_size: int, stages: list[int]) -> dict:
    train, results = trainings.train, {}
    results["zero0_fp32"] = train(0, "fp32")
    four = "train.micro_batches=4"
    results["four_micro_batches"] = train(0, "fp32", four)
    if world_size == 1:
        results["no_dropout"] = train(0, "fp32", dropout=0.0)
        results["four_without_dropout"] = train(0, "fp32", four, dropout=0.0)
        results["merged"] = train(0, "fp32", four, dropout=0.0, merged=True)
        results["accumulated"] = {
            str(dtype): [accumulated(stage, dtype) for stage in (0, 1, 2, 3)] for dtype in (None, "fp32")
        }
        return results
    for stage in (1, 2, 3):
        results[f"zero{stage}_fp32"] = train(stage, "fp32")
    for stage in sorted({0, *stages}):
        results[f"zero{stage}_last_rank_unmasked"] = train(stage, "fp32", unmasked=(1,))
    for stage in stages:
        results[f"zero{stage}_bf16"] = train(stage, "bf16")
        results[f"zero{stage}_unmasked"] = train(stage, "fp32", unmasked=(0, 1))
        results[f"zero{stage}_poisoned"] = train(stage, "fp32", poison=1)
        results[f"zero{stage}_bf16_poisoned"] = train(stage, "bf16", poison=1)
        results[f"zero{stage}_fp32_recompute"] = train(stage, "fp32", "train.recompute=true")
        results[f"zero{stage}_failing_save"] = trainings.failing_save(stage)
    if 3 in stages:
        results["zero3_bf16_recompute"] = train(3, "bf16", "train.recompute=true")
    for before, after in ((0, 3), (3, 1), (1, 2), (2, 0)):
        results[f"zero{before}_to_zero{after}"] = trainings.crossed(before, after)
    results["lamb"] = train(0, "fp32", four, "train.optimizer=lamb", "train.learning_rate=0.01")
    return results | engine_checks.record(trainings, encoder(0.1))


if __name__ == "__main__":
    main()
