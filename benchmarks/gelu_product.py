"""GELU within products on a GPU, beside products and GELU apart; and as a model predicts it, where there is no GPU.

    python benchmarks/gelu_product.py --device cuda
    python benchmarks/gelu_product.py --predict --json benchmarks/gelu_product_predicted.json

The two layers around GELU in `base`, bf16: forward the first layer's product with GELU, backward the gradient on its
way through the second one's weights and GELU, with the bias's. Apart that is torch's product and a pass of ours over
rows; within, our own product. `--predict` compiles that and runs its machine code on one modelled multiprocessor
(docs/attention.md); of what is apart it says what the product takes at the rate that `make gpu` expects of
large ones on an H200, and the pass for its bytes.
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
from benchmarks.kernel_model.code import kernels
from benchmarks.kernel_model.launch import run as run_modelled
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.product_case import Case
from interbert.kernels.attend.fused_build import device_command, nvcc
from interbert.kernels.compile import run
from interbert.kernels.rows.pace import HIDDEN, INNER, times

ROWS_A_PAIR = 54
PRODUCTS_PER_SECOND = 790e12
"""Operations, of a large product in bf16, as `make gpu` expects it of an H200."""
PASS_BYTES = {"forward": 2 * 2, "backward": 3 * 2}
"""An element, of GELU apart."""
DIRECTIONS = {"forward": False, "backward": True}
SHARED = 229_568
"""Bytes, as in csrc/fused/gelu_product.h."""


def main() -> None:
    arguments = parse_arguments()
    found = predicted(arguments) if arguments.predict else measured(arguments)
    rows = [
        [direction, 1e6 * apart, 1e6 * within, f"{apart / within:.2f}"]
        for direction, (apart, within) in found["seconds"].items()
    ]
    title = f"{found['rows']:,} rows, bf16, {'predicted for an H200' if arguments.predict else 'measured'}"
    report.table(title, ["", "apart, us", "within, us", "times as fast"], rows)
    report.write_json(arguments.json, found)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cpu: the emulator")
    parser.add_argument("--pairs", type=int, default=512, help="of 54 rows each")
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--inner", type=int, default=INNER)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--predict", action="store_true", help="by the model, on any machine with nvcc")
    return parser.parse_args()


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = arguments.pairs * ROWS_A_PAIR
    found = times(torch.device(arguments.device), rows, arguments.hidden, arguments.inner, arguments.rounds)
    return {"rows": rows, "seconds": found}


def predicted(arguments: argparse.Namespace) -> dict[str, Any]:
    machine, rows = Machine(), arguments.pairs * ROWS_A_PAIR
    case = Case(rows, arguments.hidden, arguments.inner)
    seconds, parts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "product.cubin"
        run(device_command(nvcc(), "gelu_product.cu", [], 90, cubin))
        compiled = kernels(cubin)
    for direction, backward in DIRECTIONS.items():
        mark = re.compile(rf"gelu_product_rowsI8BFloat16Lb{int(backward)}E")
        kernel = next(k for name, k in compiled.items() if mark.search(name))
        counted, _ = run_modelled(machine, kernel, SHARED, *case.arguments(backward))
        within = counted.clocks / machine.clock_hz + machine.launch_seconds
        passed = PASS_BYTES[direction] * rows * arguments.inner / machine.copy_bytes_per_s
        apart = case.operations / PRODUCTS_PER_SECOND + passed + 2 * machine.launch_seconds
        seconds[direction] = apart, within
        held = {unit: clocks / machine.schedulers for unit, clocks in counted.held.items()}
        held |= {"issue": sum(counted.issued.values()) / machine.schedulers}
        held |= {"shared": sum(counted.wavefronts.values())}
        parts[direction] = {unit: round(clocks / counted.clocks, 3) for unit, clocks in held.items()}
    return {"rows": rows, "seconds": seconds, "of the time": parts}


if __name__ == "__main__":
    main()
