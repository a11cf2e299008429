"""A group of one rank, and on it each collective that training asks for: with NCCL on a GPU, with gloo on a CPU.

python benchmarks/gpu_parts/one_rank.py --device cuda --json ranks.json
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import report

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
BACKENDS = {"cuda": "nccl", "cpu": "gloo"}


def all_reduce(mine: torch.Tensor) -> torch.Tensor:
    found = mine.clone()
    dist.all_reduce(found, async_op=True).wait()
    return found


def broadcast(mine: torch.Tensor) -> torch.Tensor:
    found = mine.clone()
    dist.broadcast(found, src=0)
    return found


def all_gather(mine: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(mine)
    dist.all_gather_into_tensor(found, mine)
    return found


def reduce_scatter(mine: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(mine)
    dist.reduce_scatter_tensor(found, mine)
    return found


COLLECTIVES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "all_reduce": all_reduce,
    "broadcast": broadcast,
    "all_gather": all_gather,
    "reduce_scatter": reduce_scatter,
}


def main() -> int:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    arguments = parser.parse_args()
    backend = BACKENDS[arguments.device]
    dist.init_process_group(
        backend, store=dist.HashStore(), rank=0, world_size=1, timeout=timedelta(seconds=30)
    )
    try:
        wrong = [
            f"{name} of {dtype}"
            for name, collective in COLLECTIVES.items()
            for dtype in DTYPES
            if not returns_what_it_got(collective, dtype, arguments.device)
        ]
        dist.barrier()
    finally:
        dist.destroy_process_group()
    for name in wrong:
        print(f"WRONG  {name}")
    print(f"{backend}, one rank: {len(COLLECTIVES) * len(DTYPES) - len(wrong)} collectives right")
    report.write_json(
        arguments.json, {"backend": backend, "wrong": wrong, "tried": len(COLLECTIVES) * len(DTYPES)}
    )
    return 1 if wrong else 0


def returns_what_it_got(
    collective: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype, device: str
) -> bool:
    """As it must where nobody else is."""
    mine = torch.randn(1 << 16, device=device).to(dtype)
    return torch.equal(collective(mine), mine)


if __name__ == "__main__":
    sys.exit(main())
