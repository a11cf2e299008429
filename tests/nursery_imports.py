"""What the first process of a nursery imports, and the op of DeepSpeed's that each rank would load."""

import sys

import deepspeed
from deepspeed.accelerator import get_accelerator

import interbert.commands.convert
import interbert.tasks.evaluation
import interbert.train.command

get_accelerator().create_op_builder("ShareMemCommBuilder").load(verbose=False)
sys.stdout.flush()  # else each fork says again what was said here
__all__ = ["deepspeed", "interbert"]
