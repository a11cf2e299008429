"""`interbert launch pretrain …`: what `deepspeed launch/pretrain.py …` starts, wherever interbert is installed."""

import argparse
import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

from interbert.doors import expand_paths
from interbert.ranks.handover import launcher_line, split_arguments
from interbert.ranks.launcher import started_by
from interbert.ranks.ports import free_port
from interbert.shipped import shipped

HELP = "start pretraining, fine-tuning, distillation or an evaluation, on all devices here or the hosts of --hostfile"
SCRIPTS = ("pretrain", "finetune", "distill", "evaluate")
ALONE = {"-h", "--help", "--dry-run"}
"""What one process answers."""
USUAL_HOSTFILE = Path("/job/hostfile")
"""Which DeepSpeed takes where none is named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "script",
        choices=(*SCRIPTS, "files"),
        help="what to start; files: say where the scripts, those of SLURM and the example of a hostfile lie",
    )
    words = parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="flags of the script (interbert launch pretrain --help) and of the deepspeed launcher",
    )
    words.required = False  # as newer Pythons have it


def run(arguments: argparse.Namespace) -> int:
    if arguments.script == "files":
        print(shipped("launch"))
        return 0
    script = str(shipped("launch") / f"{arguments.script}.py")
    command = start_of(script, arguments.words, os.environ)
    if command[0] != script:
        refuse(script, arguments.words)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *command])  # signals reach the launcher itself


def start_of(script: str, words: list[str], environment: Mapping[str, str]) -> list[str]:
    """What Python is given: as a rank of torchrun, mpirun or srun the script itself, else DeepSpeed's launcher."""
    launcher, own = split_arguments(words)
    if started_by(environment) != "python" or (not launcher and ALONE.intersection(own)):
        return [script, *words]
    return launcher_line(_meeting(launcher), script, own)


def _meeting(launcher: list[str]) -> list[str]:
    """On this machine alone at a free port, so that a run beside another need not be told one."""
    elsewhere = {"--master_port", "--hostfile", "--launcher"}.intersection(
        launcher
    ) or USUAL_HOSTFILE.is_file()
    return launcher if elsewhere else [*launcher, "--master_port", str(free_port())]


def refuse(script: str, words: list[str]) -> None:
    """What the script refuses of flags and settings is said before ranks start: that takes seconds, and each would
    say it. Whether data is there they alone know."""
    parts = runpy.run_path(script)
    typed, sys.argv = sys.argv, [script, *split_arguments(words)[1]]
    try:
        arguments = expand_paths(parts["parse_arguments"]())
    finally:
        sys.argv = typed
    if "settings_of" in parts:
        parts["settings_of"](arguments)
