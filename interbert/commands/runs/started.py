"""How a run was started: its command, to be pasted."""

import os
import shlex
from pathlib import Path

from interbert.files import read_json

NOTED = "environment.json"


def is_noted(folder: Path) -> bool:
    return (folder / NOTED).is_file()


def command_of(folder: Path) -> str:
    """As it was typed, with the launcher that started it before, and the folder that it was typed in if that is not
    this one; a remark says on how many hosts."""
    if not is_noted(folder):
        raise ValueError(f"{folder}: no {NOTED} there, in which a run notes how it was started")
    told = read_json(folder / NOTED)
    script, *words = [word for word in told["command"] if not word.startswith("--local_rank")]
    ranks = told["ranks"]
    before = {
        "deepspeed": ["deepspeed", "--num_gpus", str(ranks)],
        "torchrun": ["torchrun", "--nproc_per_node", str(ranks)],
        "mpirun": ["mpirun", "-n", str(ranks), "python"],
        "srun": ["srun", "--ntasks", str(ranks), "python"],
    }.get(told["launcher"], ["python"])
    hosts = told.get("hosts", 1)  # which earlier runs did not note, nor the folder
    remark = f"# on {hosts} hosts, {ranks} ranks in all: name them as then\n" if hosts > 1 else ""
    typed_in = told.get("folder", os.getcwd())
    there = "" if Path(typed_in) == Path.cwd() else f"cd {shlex.quote(typed_in)} && "
    return remark + there + shlex.join([*before, script, *words])
