"""The first ten minutes on a GPU: whether all is right there, and how fast.

    make gpu
    python benchmarks/gpu.py --output runs/gpu

Parts one after the other, each in processes of its own that are stopped when their time is over: the single
operations, every kernel against fp64, attention against other libraries and the bytes it must move, the training
step, fused operations, evaluation, the embedded run to its R@1, ZeRO 0 to 3 in fp16 and bf16, a group of one rank.
What fails holds up nothing else. The folder then has `gpu.json`, `table.txt` (predictions and targets beside what was
measured) and `log.txt`, all that the parts said.

Without a GPU it is a rehearsal: the same parts, at tiny sizes on the CPU, with the emulator for the kernels. None of
its figures is a measurement.

The exit code is 0 when all parts passed, whether or not targets were reached.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu_parts.bounded import MARK, end_marked
from benchmarks.gpu_parts.parts import Group, Plan
from benchmarks.gpu_parts.record import Record
from benchmarks.gpu_parts.running import run_groups
from benchmarks.gpu_parts.surroundings import device_here, environment_of, without_gpu

SECONDS = {"cuda": 480.0, "cpu": 2400.0}
"""For the whole. A rehearsal has a slower machine, and nothing to hurry for."""


def main() -> int:
    arguments, began = parse_arguments(), time.monotonic()
    mark = os.environ.get(MARK, "") + uuid.uuid4().hex  # whoever stops us by a mark stops our parts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="interbert_gpu_", ignore_cleanup_errors=True) as folder:
        environment = environment_of(arguments.wheels, Path(folder)) | {MARK: mark}
        device = arguments.device or device_here(environment)
        if device == "cpu":
            environment |= without_gpu()
        groups = chosen(Plan(device, Path(folder)).groups(), arguments.only)
        record = Record(arguments.output, device)
        try:
            end = began + (arguments.seconds or SECONDS[device])
            run_groups(groups, end, environment, Path(folder), record)
        finally:
            left = end_marked(mark)
    print(record.summary(time.monotonic() - began))
    if left:
        print(f"still running, and not to be killed: {left}")
    return 1 if left or record.not_passed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/gpu"), metavar="DIR", help="for the three files (runs/gpu)")
    add("--device", choices=["cuda", "cpu"], help="cpu: a rehearsal (default: cuda where torch sees one)")
    add("--wheels", type=Path, metavar="DIR", help="packages that this Python lacks, laid before its own")
    add("--seconds", type=float, metavar="N", help="for the whole (480; of a rehearsal 2,400)")
    add("--only", nargs="+", metavar="WORD", help="the parts alone whose names hold one of these")
    return parser.parse_args()


def chosen(groups: list[Group], words: list[str] | None) -> list[Group]:
    if not words:
        return groups
    kept = [
        Group(group.seconds, [part for part in group.parts if any(word in part.name for word in words)])
        for group in groups
    ]
    if not any(group.parts for group in kept):
        names = ", ".join(part.name for group in groups for part in group.parts)
        raise SystemExit(f"no part is called {' or '.join(words)}: there are {names}")
    return [group for group in kept if group.parts]


if __name__ == "__main__":
    sys.exit(main())
