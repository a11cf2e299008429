"""Three steps of the real engine on each of many stores, in one process a rank; writes what happened as JSON."""

import argparse
import json
from pathlib import Path

import torch
from stages_worker import ROOT, Trainings, encoder

from interbert.batches.endless import Position
from interbert.corpus.corpus import Corpus
from interbert.ranks.distributed import start_ranks
from interbert.recipe import load_recipe
from interbert.tasks.pretraining.task import open_pretraining
from interbert.train.checkpoints.export import full_weights
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine
from interbert.train.start.build import build_model

STEPS = 3
OF_REGIONS = {"class_probs": "mrm", "labels": "moc", None: "mrfr"}
"""What is learnt of regions, by the evidence there is."""


def trained(data: Path, tokenizer: Path, ranks) -> dict:
    with Corpus([data]) as corpus:
        learnt = OF_REGIONS[corpus.evidence]
    objectives = f"objectives={{msm: 1.0, {learnt}: 1.0, itm: 1.0}}"
    sizes = (
        "data.token_budget=64",
        "train.micro_batches=2",
        "train.schedule_steps=40",
        "train.warmup_share=0",
    )
    files = {"train": [str(data)], "tokenizer": str(tokenizer)}
    settings = load_recipe("scenes", [encoder(0.1), objectives, *sizes], data=files)
    config = load_engine_config(f"{ROOT}/ds_configs/zero1_fp32.json", settings, ranks.world_size)
    task = open_pretraining(settings, ranks)
    engine = Engine(task.step(build_model(task)), task.terms, settings, config)
    before, trainings, found = full_weights(engine), Trainings(data, ranks), []
    with task.loader(settings, task.plan(settings, ranks), ranks, Position()) as loader:
        for step in range(STEPS):
            given = next(loader)
            found.append(trainings.step(engine, given.batches, given.numbers, step, False))
    after = full_weights(engine)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in after}
    return {
        "learnt": learnt,
        "losses": [step["loss"] for step in found],
        "of_regions": [step[f"loss/{learnt}"] for step in found],
        "moved": max(moved.values()),
        "of_features": max(value for name, value in moved.items() if name.endswith(".features.weight")),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder of stores and of folders of shards"
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--local_rank")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ranks = start_ranks()
    stores = sorted(path for path in arguments.data.iterdir() if not path.name.startswith("."))
    results = {path.name: trained(path, arguments.tokenizer, ranks) for path in stores}
    if ranks.is_main:
        arguments.output.write_text(json.dumps(results, indent=1))
    ranks.close()


if __name__ == "__main__":
    main()
