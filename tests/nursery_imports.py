"""What the first process of a nursery imports, and the op of DeepSpeed's that ranks load, where it is built."""

import sys

import deepspeed

import interbert.commands.convert
import interbert.tasks.retrieval.evaluation
import interbert.train.start.command
from interbert.kernels.cpu.shared_memory_op import build_folder, load_shared_memory_op

if list(build_folder().glob("*.so")):  # those who need no op do not wait for a build
    load_shared_memory_op()
sys.stdout.flush()  # else each fork says again what was said here
__all__ = ["deepspeed", "interbert"]
