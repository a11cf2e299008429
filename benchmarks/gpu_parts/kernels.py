"""Compiles what the other parts would else wait for: fused attention of a head width, and the single operations.

python benchmarks/gpu_parts/kernels.py --device cuda --width 64 --json kernels.json
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import report
from interbert.kernels.attend.fused_build import architecture, compiled, library, primitives
from interbert.kernels.attend.fused_table import LONGEST


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: for the emulator")
    parser.add_argument("--width", type=int, required=True, choices=list(LONGEST))
    arguments = parser.parse_args()
    arch = architecture(torch.device(arguments.device))
    began = time.monotonic()
    file = compiled(arguments.width, arch)
    library(arguments.width, arch)
    primitives(arch)
    seconds = time.monotonic() - began
    print(f"{file}: {seconds:.1f} s")
    report.write_json(arguments.json, {"file": str(file), "seconds": seconds})


if __name__ == "__main__":
    main()
