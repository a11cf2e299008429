"""From a launcher's words to what each rank is started with, and how many there are."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from interbert.commands.launch import SCRIPTS
from interbert.ranks.handover import split_arguments


@dataclass(frozen=True)
class Start:
    words: list[str]
    """The script, or -m and a module, and its own words."""
    ranks: int = 1
    nodes: int = 1


GPUS = 8
"""Of the machine that a reader is thought to have, where a command does not say."""
STEP = (16, 2)
"""Ranks and nodes of the job that `srun` is typed in, as docs/cluster.md asks for them."""


def unwrap(words: list[str]) -> Start:
    return {
        "python": lambda: Start(words[1:]),
        "deepspeed": lambda: _deepspeed(words[1:]),
        "torchrun": lambda: _torchrun(words[1:]),
        "mpirun": lambda: _mpirun(words[1:]),
        "srun": lambda: Start(_behind_python(words[1:]), *STEP),
        "sbatch": lambda: _sbatch(words[1:]),
        "interbert": lambda: _interbert(words[1:]),
    }[words[0]]()


def _deepspeed(words: list[str]) -> Start:
    from deepspeed.launcher.runner import parse_args

    place = next(i for i, word in enumerate(words) if word.endswith(".py"))
    behind, own = split_arguments(words[place + 1 :])
    found = parse_args([*words[:place], *behind, words[place], *own])
    own = [found.user_script, *found.user_args]
    if found.hostfile and Path(found.hostfile).is_file():
        hosts = [
            line.split("slots=") for line in Path(found.hostfile).read_text().splitlines() if "slots=" in line
        ]
        return Start(own, sum(int(slots) for _, slots in hosts), len(hosts))
    return Start(own, found.num_gpus if found.num_gpus > 0 else GPUS)


def _torchrun(words: list[str]) -> Start:
    from torch.distributed.run import get_args_parser

    found = get_args_parser().parse_args(words)
    nodes = int(found.nnodes.split(":")[-1])
    script = ["-m", found.training_script] if found.module else [found.training_script]
    return Start([*script, *found.training_script_args], nodes * int(found.nproc_per_node), nodes)


def _mpirun(words: list[str]) -> Start:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("--hostfile")
    parser.add_argument("-x", action="append")
    place = words.index("python")
    found = parser.parse_args(words[:place])
    nodes = len(Path(found.hostfile).read_text().split("slots=")) - 1 if found.hostfile else 1
    return Start(words[place + 1 :], found.n, nodes)


def _sbatch(words: list[str]) -> Start:
    """The batch script hands its words to the script that it names."""
    parser = argparse.ArgumentParser()
    for flag in ("--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task"):
        parser.add_argument(flag, type=int, default=1)
    parser.add_argument("--array")
    place = next(i for i, word in enumerate(words) if word.endswith(".sbatch"))
    found = parser.parse_args(words[:place])
    (call,) = (
        line for line in Path(words[place]).read_text().splitlines() if line.startswith("run_until_done ")
    )
    script = shlex.split(call)[1]
    return Start([script, *words[place + 1 :]], found.nodes * found.ntasks_per_node, found.nodes)


def _interbert(words: list[str]) -> Start:
    """`interbert launch pretrain …`, `interbert distill …`, or a verb of its own."""
    if words[0] == "launch" and words[1] in SCRIPTS:
        return _deepspeed([f"launch/{words[1]}.py", *words[2:]])
    if words[0] == "distill":
        return _deepspeed(["launch/distill.py", *words[1:]])
    return Start(["-m", "interbert", *words])


def _behind_python(words: list[str]) -> list[str]:
    return words[words.index("python") + 1 :]
