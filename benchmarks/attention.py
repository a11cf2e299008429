"""Fused attention on a GPU: is it right, and how near to the bytes that must be moved?

First the single operations, then both passes against the reference in fp64 over lengths, widths and types. Then
times, of the kernels themselves (replayed from CUDA graphs, several input sets so that no cache helps, median): ours,
FlashAttention-2 over packed sequences, padded attention with a mask, and the floor: the bytes each pass must
move at the speed of a device copy measured in the same run.

`--device cpu` checks, slowly and a little, in the emulator. With `--only times` it goes through what a GPU would be
timed by, and its figures say nothing.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.attention_contenders import CONTENDERS, make_inputs
from interbert.kernels.attend import primitive_trials
from interbert.kernels.attend.fused_build import architecture
from interbert.kernels.attend.fused_table import LONGEST, buckets, longest
from interbert.kernels.attend.self_check import compare

LENGTHS = {
    "uniform 60-140": lambda draw, n: torch.randint(60, 141, (n,), generator=draw),
    "caption-like (10-22) + 37": lambda draw, n: torch.randint(10, 23, (n,), generator=draw) + 37,
    "text stream 10-40": lambda draw, n: torch.randint(10, 41, (n,), generator=draw),
    "all 128": lambda draw, n: torch.full((n,), 128),
}
SHAPES = {"12 x 64": (12, 64), "8 x 96": (8, 96)}
SETS, REPEATS, SEQUENCES = 6, 25, 512
PARTS = ("primitives", "numbers", "times")
LONGEST_EMULATED = 64
"""Of the numbers: the emulator takes seconds where a GPU takes milliseconds."""


def main() -> int:
    arguments = parse_arguments()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(
            "benchmarks/attention.py: no GPU is seen here; --device cpu checks in the emulator",
            file=sys.stderr,
        )
        return 2
    figures: dict[str, Any] = {"device": device_name(device)}
    figures["failures"] = failures = check(device, arguments)
    for name, failure in failures.items():
        print(f"WRONG  {name}: {failure}")
    print(f"checks on {figures['device']}: {len(failures)} failures")
    if not failures and "times" in arguments.only:
        figures |= {"copy_bytes_per_second": copy_speed(device), "times": []}
        for case in cases(arguments):
            figures["times"].append(measure(*case, device, figures["copy_bytes_per_second"]))
            report.write_json(arguments.json, figures)  # what there is, should it be stopped
        print_table(figures["times"], figures["copy_bytes_per_second"])
    report.write_json(arguments.json, figures)
    return 1 if failures else 0


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--device", default="cuda", choices=["cuda", "cpu"])
    add("--only", nargs="+", choices=PARTS, help="default: all, and on a CPU no times")
    add("--widths", nargs="+", type=int, choices=list(LONGEST), default=list(LONGEST), help="of the numbers")
    add("--spread", action="store_true", help="numbers of each kernel's shortest and longest sequence alone")
    add("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="of the times")
    add("--dropout", nargs="+", type=float, default=[0.0, 0.1], help="of the times")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    arguments.only = arguments.only or (PARTS if on_gpu else PARTS[:2])
    arguments.spread = arguments.spread or not on_gpu
    return arguments


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "emulator"


def check(device: torch.device, arguments: argparse.Namespace) -> dict[str, str]:
    """What is wrong, by name; the single operations first, for with one of them wrong the rest says little."""
    found = primitive_trials.failures(device) if "primitives" in arguments.only else {}
    if found or "numbers" not in arguments.only:
        return found
    for width in arguments.widths:
        both = longest(width, architecture(device), backward=True)
        for length in lengths_of(width, device, arguments.spread):
            for dtype in (torch.float16, torch.bfloat16):
                for dropout_p in (0.0, 0.1):
                    failure = compare(width, length, dtype, dropout_p, device, length <= both)
                    if failure:
                        found[f"width {width}, length {length}, {dtype}, dropout {dropout_p}"] = failure
    return found


def lengths_of(width: int, device: torch.device, spread: bool) -> list[int]:
    """Every one that is served; or the two ends of what each kernel serves, of either pass."""
    arch = architecture(device)
    if not spread:
        return list(range(1, longest(width, arch, backward=False) + 1))
    ends = sorted({*buckets(width, arch, False), *buckets(width, arch, True)})
    most = LONGEST_EMULATED if device.type == "cpu" else ends[-1]
    return [length for first, end in pairwise([0, *ends]) for length in (first + 1, end) if length <= most]


def cases(arguments: argparse.Namespace) -> list[tuple[str, str, float]]:
    return [
        (lengths, shape, p) for lengths in LENGTHS for shape in arguments.shapes for p in arguments.dropout
    ]


def copy_speed(device: torch.device) -> float:
    """Bytes read and written a second by a copy of 1 GiB (on a CPU of 16 MiB)."""
    source = torch.empty(2**30 if device.type == "cuda" else 2**24, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds([lambda: target.copy_(source)], own_stream(device))


def measure(lengths: str, shape: str, dropout_p: float, device: torch.device, speed: float) -> dict[str, Any]:
    heads, width = SHAPES[shape]
    sequences, count = SEQUENCES, SETS
    if device.type == "cpu":
        sequences, count, heads = 1, 1, 1
    # What is captured must have been made on the stream that captures it.
    stream = own_stream(device)
    with torch.cuda.stream(stream):
        sets = [
            make_inputs(LENGTHS[lengths], sequences, heads, width, dropout_p, seed, device)
            for seed in range(count)
        ]
    tokens = sum(x.tokens for x in sets) / count
    row = heads * width * 2
    found: dict[str, Any] = {"lengths": lengths, "shape": shape, "dropout": dropout_p, "tokens": tokens}
    found["floor"] = {"forward": 4 * tokens * row / speed, "backward": 7 * tokens * row / speed}
    for name, contender in CONTENDERS.items():
        try:
            with torch.cuda.stream(stream):
                passes = [contender(x) for x in sets]
            found[name] = {
                "forward": median_seconds([forward for forward, _ in passes], stream),
                "backward": median_seconds([backward for _, backward in passes], stream),
            }
        except RuntimeError as error:
            found[name] = {"unavailable": str(error).splitlines()[0]}
        torch.cuda.empty_cache()
    return found


def own_stream(device: torch.device) -> torch.cuda.Stream | None:
    """None of a CPU."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def median_seconds(calls: list[Callable[[], Any]], stream: torch.cuda.Stream | None) -> float:
    """Of one call: all are captured in one graph, which is replayed. On a CPU they are called."""
    if stream is None:
        began = time.perf_counter()
        for call in calls:
            call()
        return (time.perf_counter() - began) / len(calls)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls * 2:
            call()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for call in calls:
            call()
    graph.replay()
    seconds = []
    for _ in range(REPEATS):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        seconds.append(start.elapsed_time(stop) / 1000 / len(calls))
    return statistics.median(seconds)


def print_table(times: list[dict[str, Any]], speed: float) -> None:
    title = f"Device copy {speed / 1e12:.2f} TB/s; {SEQUENCES} sequences; µs (as a multiple of the floor)"
    rows = []
    for found in times:
        for direction in ("forward", "backward"):
            floor = found["floor"][direction]
            cells = [cell(found[name].get(direction), floor) for name in CONTENDERS]
            what = f"{found['lengths']}, {found['shape']}, dropout {found['dropout']:g}, {direction}"
            rows.append([what, f"{1e6 * floor:.0f}", *cells, ""])
        rows[-1][-1] = ratio(found["FA2 varlen"], found["fused"])
    report.table(title, ["", "floor", *CONTENDERS, "faster than FA2"], rows)


def cell(seconds: float | None, floor: float) -> str:
    return "n/a" if seconds is None else f"{1e6 * seconds:.0f} ({seconds / floor:.2f})"


def ratio(theirs: dict[str, float], ours: dict[str, float]) -> str:
    """Forward and backward together."""
    both = [sum(x.values()) for x in (theirs, ours) if "forward" in x]
    return f"{both[0] / both[1]:.2f}" if len(both) == 2 else "n/a"


if __name__ == "__main__":
    sys.exit(main())
