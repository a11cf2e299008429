"""Fused attention on a GPU: is it right, and how near to the bytes that must be moved?

First the single operations, then both passes against the reference over lengths, widths and types. Then times, of
the kernels themselves (replayed from CUDA graphs, several input sets so that no cache helps, median): ours,
FlashAttention-2 over packed sequences, padded attention with a mask, and the floor: the bytes each pass must
move at the speed of a device copy measured in the same run.

`--device cpu` checks, slowly and a little, in the emulator; it times nothing.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.attention_contenders import CONTENDERS, make_inputs
from interbert.kernels.attend import primitive_trials
from interbert.kernels.attend.fused_build import architecture
from interbert.kernels.attend.fused_table import LONGEST, longest
from interbert.kernels.attend.self_check import compare

LENGTHS = {
    "uniform 60-140": lambda draw, n: torch.randint(60, 141, (n,), generator=draw),
    "caption-like (10-22) + 37": lambda draw, n: torch.randint(10, 23, (n,), generator=draw) + 37,
    "text stream 10-40": lambda draw, n: torch.randint(10, 41, (n,), generator=draw),
    "all 128": lambda draw, n: torch.full((n,), 128),
}
SHAPES = {"12 x 64": (12, 64), "8 x 96": (8, 96)}
SETS, REPEATS, SEQUENCES = 6, 25, 512


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
    figures["failures"] = failures = check(device)
    for name, failure in failures.items():
        print(f"WRONG  {name}: {failure}")
    print(f"checks on {figures['device']}: {len(failures)} failures")
    if not failures and device.type == "cuda" and not arguments.check:
        figures["copy_bytes_per_second"] = speed = copy_speed(device)
        figures["times"] = [
            measure(lengths, shape, p, speed) for lengths in LENGTHS for shape in SHAPES for p in (0.0, 0.1)
        ]
        print_table(figures["times"], speed)
    report.write_json(arguments.json, figures)
    return 1 if failures else 0


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--check", action="store_true", help="only the correctness, no times")
    return parser.parse_args()


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "emulator"


def check(device: torch.device) -> dict[str, str]:
    """What is wrong, by name; the single operations first, for with one of them wrong the rest says little."""
    found = primitive_trials.failures(device)
    if found:
        return found
    step = 1 if device.type == "cuda" else 37
    for width in LONGEST:
        both, forward = (longest(width, architecture(device), backward) for backward in (True, False))
        for length in range(1, forward + 1, step):
            for dtype in (torch.float16, torch.bfloat16):
                for dropout_p in (0.0, 0.1):
                    failure = compare(width, length, dtype, dropout_p, device, length <= both)
                    if failure:
                        found[f"width {width}, length {length}, {dtype}, dropout {dropout_p}"] = failure
    return found


def copy_speed(device: torch.device) -> float:
    """Bytes read and written a second by a copy of 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds([lambda: target.copy_(source)], torch.cuda.Stream())


def measure(lengths: str, shape: str, dropout_p: float, speed: float) -> dict[str, Any]:
    heads, width = SHAPES[shape]
    # What is captured must have been made on the stream that captures it.
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        sets = [
            make_inputs(LENGTHS[lengths], SEQUENCES, heads, width, dropout_p, seed) for seed in range(SETS)
        ]
    tokens = sum(x.tokens for x in sets) / SETS
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


def median_seconds(calls: list[Callable[[], Any]], stream: torch.cuda.Stream) -> float:
    """Of one call: all are captured in one graph, which is replayed."""
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
