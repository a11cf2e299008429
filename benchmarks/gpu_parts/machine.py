"""What machine this is, as JSON: the device, its two ceilings, and the versions of what matters.

It fails where something is missing that a training imports.

    python benchmarks/gpu_parts/machine.py --device cuda --json machine.json
"""

import importlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import attention, report
from interbert.kernels.attend.fused_build import architecture, nvcc
from interbert.kernels.compile import Unavailable, cache_folder

NEEDED = ("deepspeed", "transformers", "interbert.train.prepare", "interbert.tasks.pretraining.task")
PACKAGES = (
    "torch",
    "triton",
    "deepspeed",
    "transformers",
    "tokenizers",
    "numpy",
    "pydantic",
    "h5py",
    "xxhash",
)


def main() -> int:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    found = {
        "device": describe(device),
        "copy_bytes_per_second": attention.copy_speed(device),
        "products_per_second": products(device),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "packages": versions(),
        "nvcc": toolkit(),
        "kernels": kernels_folder(),
    }
    for name, value in found.items():
        print(f"{name}: {value}")
    report.write_json(arguments.json, found)
    wrong = missing()
    for name, reason in wrong.items():
        print(f"MISSING  {name}: {reason}")
    return 1 if wrong else 0


def describe(device: torch.device) -> dict[str, Any]:
    if device.type == "cpu":
        return {"name": report.machine()}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "arch": architecture(device),
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "cache_bytes": properties.L2_cache_size,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        "devices": torch.cuda.device_count(),
    }


def products(device: torch.device) -> float:
    """Operations a second of a large product in bf16, on random numbers."""
    size = 8192 if device.type == "cuda" else 256
    stream = attention.own_stream(device)
    with torch.cuda.stream(stream):
        a, b = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    return 2 * size**3 / attention.median_seconds([lambda: a @ b], stream)


def missing() -> dict[str, str]:
    """What cannot be imported, and why."""
    found = {}
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except Exception as reason:
            found[name] = repr(reason)
    return found


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not here"
    return found


def toolkit() -> str:
    try:
        said = subprocess.run([nvcc(), "--version"], capture_output=True, text=True, check=False).stdout
    except (Unavailable, OSError) as reason:
        return str(reason)
    return next((line.strip() for line in said.splitlines() if "release" in line), said.strip())


def kernels_folder() -> str:
    """Where compiled kernels are kept, which must be written to."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f"written_{os.getpid()}"
    probe.touch()
    probe.unlink()
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())
