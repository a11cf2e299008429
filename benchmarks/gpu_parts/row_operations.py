"""Compiles the operations on rows (norms, GELU, losses) and holds each to torch in fp32.

python benchmarks/gpu_parts/row_operations.py --device cuda --json rows.json
"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import report
from interbert.kernels.attend.fused_build import architecture
from interbert.kernels.rows.build import library
from interbert.kernels.rows.self_check import check


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: for the emulator")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    began = time.monotonic()
    library(architecture(device))
    seconds = time.monotonic() - began
    failure = check(device)
    print(f"compiled in {seconds:.1f} s; {failure or 'all right'}")
    report.write_json(arguments.json, {"seconds": seconds, "failures": [failure] if failure else []})
    sys.exit(1 if failure else 0)


if __name__ == "__main__":
    main()
