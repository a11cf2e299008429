"""How a run was started: its command, to be pasted."""

import shlex
from pathlib import Path

from interbert.files import read_json


def command_of(folder: Path) -> str:
    """As it was typed, with the launcher that started it before; a remark says on how many hosts."""
    path = folder / "environment.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no environment.json there, in which a run notes how it was started")
    told = read_json(path)
    script, *words = [word for word in told["command"] if not word.startswith("--local_rank")]
    ranks = told["ranks"]
    before = {
        "deepspeed": ["deepspeed", "--num_gpus", str(ranks)],
        "torchrun": ["torchrun", "--nproc_per_node", str(ranks)],
        "mpirun": ["mpirun", "-n", str(ranks), "python"],
        "srun": ["srun", "--ntasks", str(ranks), "python"],
    }.get(told["launcher"], ["python"])
    hosts = told.get("hosts", 1)  # which earlier runs did not note
    remark = f"# on {hosts} hosts, {ranks} ranks in all: name them as then\n" if hosts > 1 else ""
    return remark + shlex.join([*before, script, *words])
