"""What it costs a step that all ranks agree on its counts: before the step, or beside the end of the one before it.

    python benchmarks/step_counts.py [--ranks 2 4 8 16] [--work 40] [--update 10] [--steps 100] [--json FILE]

Each rank is a process of this machine; gloo joins them. Work is slept, as on a device: what remains is what the ranks
wait for each other. Milliseconds a step beyond the work, the slowest rank's; `none` is what sleeping itself is late.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[1]))
from interbert.ranks.begun_sum import begin_sum
from interbert.ranks.distributed import Ranks

COUNTS = [1000.0, 800.0, 200.0, 200.0, 30000.0, 0.0, 0.0]
"""As many as a step has."""


def none(ranks: Ranks, work: float, update: float) -> Iterator[None]:
    while True:
        time.sleep(work)
        time.sleep(update)
        yield


def before(ranks: Ranks, work: float, update: float) -> Iterator[None]:
    while True:
        ranks.sum(COUNTS)
        time.sleep(work)
        time.sleep(update)
        yield


def beside(ranks: Ranks, work: float, update: float) -> Iterator[None]:
    agreed = begin_sum(COUNTS, ranks)
    while True:
        agreed()
        time.sleep(work)
        agreed = begin_sum(COUNTS, ranks)
        time.sleep(update)
        yield


WAYS: dict[str, Callable] = {"none": none, "before": before, "beside": beside}


def rank_of(store: str, rank: int, world_size: int, arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    ranks = Ranks(rank, world_size, rank, torch.device("cpu"), "benchmark")
    work, update = arguments.work / 1e3, arguments.update / 1e3
    found = {}
    for name, way in WAYS.items():
        steps = way(ranks, work, update)
        for _ in range(10):
            next(steps)
        ranks.barrier()
        began = time.perf_counter()
        for _ in range(arguments.steps):
            next(steps)
        seconds = (time.perf_counter() - began) / arguments.steps
        found[name] = 1e3 * max(ranks.gather(seconds - work - update))
    if rank == 0:
        print(json.dumps(found))
    ranks.close()


def world(size: int, arguments: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            __file__,
            *sys.argv[1:],
            "--store",
            f"{folder}/store",
            "--world-size",
            str(size),
        ]
        started = [
            subprocess.Popen(
                [*command, "--rank", str(rank)],
                stdout=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for rank in range(size)
        ]
        said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"{size} ranks: one failed")
    return json.loads(said[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--work", type=float, default=40.0, help="milliseconds of forward and backward")
    parser.add_argument("--update", type=float, default=10.0, help="milliseconds of the optimizer's step")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    for name, kind in (("--store", str), ("--rank", int), ("--world-size", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.store:
        return rank_of(arguments.store, arguments.rank, arguments.world_size, arguments)
    results = {}
    print("ranks     none   before   beside   (ms a step beyond its work)")
    for size in arguments.ranks:
        results[size] = world(size, arguments)
        print(f"{size:5}" + "".join(f"{results[size][name]:9.2f}" for name in WAYS), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
