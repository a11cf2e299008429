"""Compiles the operations on rows (norms, GELU, losses) and the product that meets GELU; holds each to torch in fp32.

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
from interbert.kernels.rows.serving import ARCHS, NAMES


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: for the emulator")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    arch, began, failures = architecture(device), time.monotonic(), []
    for name, words in NAMES.items():
        if arch is not None and arch not in ARCHS[name]:
            print(f"{words}: not made for sm_{arch}")
            continue
        library(arch, name)
        failure = check(device, name)
        failures += [failure] if failure else []
        print(f"{words}: {failure or 'all right'}")
    seconds = time.monotonic() - began
    print(f"compiled and tried in {seconds:.1f} s")
    report.write_json(arguments.json, {"seconds": seconds, "failures": failures})
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
