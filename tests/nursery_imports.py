"""What the first process of a nursery imports, and the op of DeepSpeed's that ranks load, where it is built."""

import sys
from pathlib import Path

import deepspeed
from deepspeed.accelerator import get_accelerator
from torch.utils.cpp_extension import _get_build_directory

import interbert.commands.convert
import interbert.tasks.evaluation
import interbert.train.command

op = get_accelerator().create_op_builder("ShareMemCommBuilder")
built = Path(_get_build_directory(op.name, verbose=False))
# A lock that a killed build left would be waited for without end, also by those who need no op.
if list(built.glob("*.so")) and not (built / "lock").exists():
    op.load(verbose=False)
sys.stdout.flush()  # else each fork says again what was said here
__all__ = ["deepspeed", "interbert"]
