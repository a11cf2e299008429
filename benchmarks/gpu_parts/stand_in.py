"""For rehearsals on a CPU: runs a script of launch/ in which DeepSpeed is told that the CPU has fp16.

torch computes in it there, if slowly; DeepSpeed and our own check refuse it.

    python benchmarks/gpu_parts/stand_in.py launch/pretrain.py --help
"""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> None:
    from deepspeed.accelerator import get_accelerator

    from interbert.train.start import command

    get_accelerator().is_fp16_supported = lambda: True
    command.check_device = lambda engine: None
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
