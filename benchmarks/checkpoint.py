"""Saving and loading a checkpoint at `base` size: seconds that training stands still, and bytes.

    torchrun --nproc_per_node 2 benchmarks/checkpoint.py --folder /where/runs/lie

For each ZeRO stage and precision: gathering whole tensors from all ranks, the whole save (gathered, written, hashed,
forced to disk, renamed), verifying, and setting the engine from it. Beside it what the same disk takes for the same
bytes, written by one process and forced to disk, in the same run.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.step_work import make_batch
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.ranks.distributed import Ranks, start_ranks
from interbert.recipe import load_recipe
from interbert.tasks.pretraining.step import PretrainStep, terms_of
from interbert.train.checkpoints import checkpoint
from interbert.train.engine import whole_state
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine

ROOT = Path(__file__).resolve().parent.parent
HEADER = ["ZeRO", "GB", "step", "gather", "save", "verify", "set", "disk alone", "every 1,000 steps"]


def main() -> None:
    arguments = parse_arguments()
    ranks = start_ranks()
    settings = load_recipe("interbert_base", [f"train.micro_batches={ranks.world_size}"])
    weights, figures, rows = settings.objectives, {}, []
    for precision in arguments.precisions or ["bf16" if has_bf16(ranks.device) else "fp32"]:
        for stage in arguments.stages:
            path = ROOT / "ds_configs" / f"zero{stage}_{precision}.json"
            config = load_engine_config(str(path), settings, ranks.world_size)
            model = InterBertForPreTraining.from_seed(InterBertConfig.from_preset(arguments.preset), 1)
            found = measure(
                Engine(PretrainStep(model, weights), terms_of(weights), settings, config), arguments, ranks
            )
            figures[f"zero{stage}_{precision}"] = found
            share = found["save"] / (found["save"] + 1000 * found["step"])
            times = [found[name] for name in ("step", "gather", "save", "verify", "set", "disk")]
            rows.append([f"{stage} {precision}", found["bytes"] / 1e9, *times, f"{share:.2%}"])
    if ranks.is_main:
        report.table(f"{arguments.preset}, {ranks.world_size} ranks; seconds", HEADER, rows)
        report.write_json(arguments.json, {"ranks": ranks.world_size, **figures})
    ranks.close()


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="on the disk to be measured")
    parser.add_argument("--preset", default="base", choices=["tiny", "small", "base"])
    parser.add_argument("--pairs", type=int, default=64, help="of each rank's micro-batch, to time a step")
    parser.add_argument("--stages", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument(
        "--precisions", nargs="+", choices=["fp32", "bf16", "fp16"], help="default: bf16 if it is quick"
    )
    return parser.parse_args()


def measure(engine: Engine, arguments: argparse.Namespace, ranks: Ranks) -> dict[str, float]:
    folder = Path(ranks.main_only(lambda: new_folder(arguments.folder)))
    batch = make_batch(engine.model.config, arguments.pairs).to(ranks.device)
    scales = engine.scales(batch.counts())
    step = [
        timed(lambda n=n: engine.update(engine.accumulate([batch], [ranks.rank], n, scales)), ranks)
        for n in range(3)
    ]  # the first allocates
    saved: list[Path] = []
    state = {"step": 1}
    save = timed(lambda: saved.append(checkpoint.save(engine.deepspeed, folder, state, ranks)), ranks)
    size = sum(path.stat().st_size for path in saved[0].iterdir())
    gather = timed(lambda: [None for _ in whole_state.gather(engine.deepspeed)], ranks)
    verify = timed(lambda: ranks.main_only(lambda: state.update(checkpoint.verify(saved[0]))), ranks)
    state = ranks.share(state)
    load = timed(lambda: checkpoint.load(engine.deepspeed, saved[0], state), ranks)
    ranks.main_only(lambda: shutil.rmtree(saved[0]))
    disk = timed(lambda: ranks.main_only(lambda: write(folder, size)), ranks)
    return {
        "bytes": size,
        "step": min(step[1:]),
        "gather": gather,
        "save": save,
        "verify": verify,
        "set": load,
        "disk": disk,
    }


def new_folder(parent: Path) -> str:
    parent.mkdir(parents=True, exist_ok=True)
    return tempfile.mkdtemp(prefix="checkpoint_benchmark_", dir=parent)


def timed(work: Callable, ranks: Ranks) -> float:
    """Until the last rank is done."""
    synchronize(ranks)
    began = time.perf_counter()
    work()
    synchronize(ranks)
    return time.perf_counter() - began


def synchronize(ranks: Ranks) -> None:
    if ranks.device.type == "cuda":
        torch.cuda.synchronize()
    ranks.barrier()


def write(folder: Path, size: int) -> None:
    block = os.urandom(2**24)
    with open(folder / "bytes", "wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
