"""Fused attention as a model predicts it, where there is no GPU: what nvcc made, run on one modelled multiprocessor.

The kernels are compiled and taken apart. Their machine code is then executed for the lengths of a batch: integers,
addresses and predicates for what they are, data as unknowns; so every branch is taken, every instruction counted and
every bank of shared memory hit as on the device. A clock says when each instruction is issued: four schedulers, the
stalls and counters that the compiler wrote into the instructions, units that are busy, wavefronts of shared memory,
the latencies of memories, barriers, and device memory as a queue at the speed of a measured copy.

Executed machine code, and not counts of blocks or of an emulator's operations, because what these kernels wait for is
latency that few warps cannot hide, and that shows only when each instruction has its place in time; and because it
judges another design without a word about it here. The constants stand in kernel_model/machine.py and change only by
a device's measurement. Not modelled: instruction caches, what other multiprocessors ask of memory at the same moment,
the clock of a device that gets hot.

    pip install nvidia-cuda-nvdisasm
    python benchmarks/attention_model.py --arch 90 --json predicted.json
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.attention import LENGTHS
from benchmarks.kernel_model import known
from benchmarks.kernel_model.attention_case import Case
from benchmarks.kernel_model.clock import Report
from benchmarks.kernel_model.code import Kernel, Missing, kernels
from benchmarks.kernel_model.effects import Unknown
from benchmarks.kernel_model.launch import run
from benchmarks.kernel_model.machine import Machine
from interbert.kernels.attend.fused_build import resources
from interbert.kernels.attend.fused_table import buckets, shared_bytes
from interbert.kernels.compile import Unavailable

SETS = {
    "60-140": "uniform 60-140",
    "47-59": "caption-like (10-22) + 37",
    "text": "text stream 10-40",
}
"""Lengths by the names that a prediction is asked for; as benchmarks/attention.py draws them."""

SEQUENCES = {"60-140": 128, "47-59": 256, "text": 512}
"""Of a batch: some 13,000 tokens. Larger batches come out a little lower, and take the model longer."""

DIRECTIONS = {"forward": False, "backward": True}
HEADS, DROPOUT = 12, 0.1


def main() -> int:
    arguments = parse_arguments()
    machine = Machine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = predict_all(machine, arguments, Path(folder))
    except (Missing, Unavailable, Unknown) as reason:
        print(f"benchmarks/attention_model.py: {reason}", file=sys.stderr)
        return 2
    print_tables(figures)
    report.write_json(arguments.json, figures)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument(
        "--arch", type=int, default=90, choices=[90], help="architecture that the model knows"
    )
    parser.add_argument("--width", type=int, default=64, help="of a head")
    parser.add_argument(
        "--sequences", type=int, help="of a batch; default: so many that its beginning is little"
    )
    parser.add_argument("--lengths", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--cubin", type=Path, help="kernels that are compiled already")
    parser.add_argument(
        "--known", type=Path, help="_C_flashattention.so of xformers 0.0.25.post1: predicted as well"
    )
    return parser.parse_args()


def predict_all(machine: Machine, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    compiled = compiled_kernels(arguments.width, arguments.arch, folder, arguments.cubin)
    figures: dict[str, Any] = {"forward": {}, "backward": {}, "details": []}
    for direction in DIRECTIONS:
        for lengths in arguments.lengths:
            sequences = arguments.sequences or SEQUENCES[lengths]
            found = predict(machine, compiled, direction, lengths, sequences, arguments.width)
            figures[direction][lengths] = found["ratio"]
            figures["details"].append(found)
    if arguments.known:
        kernel = known.kernel_of(arguments.known, folder)
        figures["known"] = {
            length: {
                "measured": known.MEASURED[length],
                "predicted": round(known.predicted(machine, kernel, length)),
            }
            for length in (512, 1024, 2048)
        }
    return figures


def compiled_kernels(width: int, arch: int, folder: Path, cubin: Path | None = None) -> dict[str, Kernel]:
    if cubin is None:
        cubin = folder / "kernels.cubin"
        resources(width, arch, cubin)
    return kernels(cubin)


def predict(
    machine: Machine,
    compiled: dict[str, Kernel],
    direction: str,
    lengths: str,
    sequences: int,
    width: int = 64,
) -> dict[str, Any]:
    """One pass over one batch in bf16 with dropout: its time over that of the bytes it must move, and why."""
    backward = DIRECTIONS[direction]
    drawn = LENGTHS[SETS[lengths]](torch.Generator().manual_seed(0), sequences).numpy()
    case = Case(drawn, HEADS, width, DROPOUT)
    bucket = next(b for b in buckets(width, 90, backward) if b >= drawn.max())
    mark = re.compile(rf"attention_{direction}(_group)?I8BFloat16Li{width}ELi{bucket}E")
    kernel = next(k for name, k in compiled.items() if mark.search(name))
    given = case.arguments(machine, backward)
    counted, at_once = run(machine, kernel, shared_bytes(width, bucket, backward, 90), *given)
    return {
        "direction": direction,
        "lengths": lengths,
        "sequences": sequences,
        "bucket": bucket,
        "registers": kernel.registers,
        "blocks": at_once,
        "warps": at_once * -(-kernel.threads // 32),
        "floor_bytes": case.floor_bytes(backward) / machine.multiprocessors,
        **counts(machine, counted),
        "ratio": round(
            ratio(machine, counted.clocks, case.floor_bytes(backward) / machine.multiprocessors), 3
        ),
    }


def ratio(machine: Machine, clocks: float, floor_bytes: float) -> float:
    """Of the predicted time to that of the bytes at a copy's speed."""
    seconds = clocks / machine.clock_hz + machine.launch_seconds
    return seconds / (floor_bytes * machine.multiprocessors / machine.copy_bytes_per_s)


def counts(machine: Machine, counted: Report) -> dict[str, Any]:
    """Of one multiprocessor."""
    waited = sum(counted.waits.values())
    return {
        "clocks": round(counted.clocks),
        "issued": dict(counted.issued.most_common()),
        "held": {name: round(clocks) for name, clocks in counted.held.items()},
        "instructions": dict(counted.named.most_common(24)),
        "wavefronts": dict(counted.wavefronts.most_common()),
        "bytes_read": counted.read,
        "bytes_written": counted.written,
        "waits": {k: round(v / waited, 3) for k, v in counted.waits.most_common(10)},
    }


def bounds(machine: Machine, found: dict[str, Any]) -> dict[str, float]:
    """What each part of the machine alone would take, over the byte floor; latency is what none of them explains."""
    floor = found["floor_bytes"] / machine.bytes_per_clock
    issued = found["issued"]
    units = {name: held / machine.schedulers for name, held in found["held"].items()}
    clocks = {
        "issue": sum(issued.values()) / machine.schedulers,
        **{name: units[name] for name in ("integer", "multiply", "special", "tensor")},
        "shared": sum(found["wavefronts"].values()),
        "bytes": (found["bytes_read"] + found["bytes_written"]) / machine.bytes_per_clock,
    }
    return {name: x / floor for name, x in clocks.items()}


def print_tables(figures: dict[str, Any]) -> None:
    machine = Machine()
    rows = []
    for found in figures["details"]:
        parts = bounds(machine, found)
        rows.append(
            [
                f"{found['direction']} {found['lengths']}",
                found["bucket"],
                found["registers"],
                f"{found['blocks']} x {found['warps'] // found['blocks']}",
                *(f"{x:.2f}" for x in parts.values()),
                f"{found['ratio']:.2f}",
            ]
        )
    header = [
        "",
        "bucket",
        "registers",
        "blocks x warps",
        *bounds(machine, figures["details"][0]),
        "predicted",
    ]
    report.table(
        "Predicted time over the byte floor: of each part alone, and in all (bf16, dropout 0.1)", header, rows
    )
    waits = [
        [f"{x['direction']} {x['lengths']}", ", ".join(f"{k} {100 * v:.0f} %" for k, v in x["waits"].items())]
        for x in figures["details"]
    ]
    report.table("What its warps wait for", ["", ""], waits)
    if "known" in figures:
        rows = [[f"{n} tokens", x["measured"], x["predicted"]] for n, x in figures["known"].items()]
        report.table("FlashAttention-2, forward, H100: TFLOP/s", ["", "measured", "predicted"], rows)


if __name__ == "__main__":
    sys.exit(main())
