"""Launcher flags behind the script, as people type them: `deepspeed launch/pretrain.py --hostfile hosts`.

DeepSpeed ignores what stands behind the script and would train on this machine alone. Here the flags are found,
and the launcher is started again with them in the right place.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from interbert.ranks.hostfile import read_hostfile
from interbert.ranks.launcher import started_by

WITH_VALUE = {
    "-H": "--hostfile",
    "--hostfile": "--hostfile",
    "-i": "--include",
    "--include": "--include",
    "-e": "--exclude",
    "--exclude": "--exclude",
    "--num_nodes": "--num_nodes",
    "--num_gpus": "--num_gpus",
    "--num_accelerators": "--num_gpus",
    "--master_addr": "--master_addr",
    "--master_port": "--master_port",
    "--launcher": "--launcher",
    "--launcher_args": "--launcher_args",
    "--ssh_port": "--ssh_port",
    "--node_rank": "--node_rank",
}
WITHOUT_VALUE = {"--force_multi", "--no_ssh", "--no_ssh_check", "--bind_cores_to_rank"}
RENDEZVOUS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_SIZE",
    "CROSS_RANK",
    "CROSS_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)


class HandoverError(ValueError):
    """Launcher flags behind the script that cannot be obeyed here."""


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(launcher flags, the script's own arguments)."""
    launcher, own = [], []
    words = iter(arguments)
    for word in words:
        name, separator, value = word.partition("=")
        if name in WITHOUT_VALUE:
            launcher.append(name)
        elif name in WITH_VALUE:
            if not separator:
                value = next(words, None)
                if value is None:
                    raise HandoverError(f"{name} needs a value")
            launcher += [WITH_VALUE[name], value]
        else:
            own.append(word)
    return launcher, own


def hand_over(script: str, arguments: list[str]) -> int | None:
    """Starts the launcher anew where flags of it stand behind the script, and returns its exit code; else None."""
    launcher, own = split_arguments(arguments)
    if not launcher:
        return None
    own = [word for word in own if not word.startswith("--local_rank")]
    line = f"deepspeed {' '.join(launcher)} {script} {' '.join(own)}"
    _check_possible(launcher, line)
    if int(os.environ.get("LOCAL_RANK", "0")) != 0:
        return 0  # one process of this machine hands over for all
    print(f"launcher flags stood behind the script; starting: {line}", flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in RENDEZVOUS}
    child = subprocess.Popen([sys.executable, *launcher_line(launcher, script, own)], env=environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: child.send_signal(received))
    return child.wait()


def launcher_line(launcher: list[str], script: str, own: list[str]) -> list[str]:
    """What Python is given so that DeepSpeed's launcher starts the script."""
    if _only_this_machine(launcher):
        # DeepSpeed would ask its own machine by ssh whether it is there, and for its address.
        launcher = [*launcher, "--no_ssh_check"]
        if "--master_addr" not in launcher:
            launcher += ["--master_addr", "127.0.0.1"]
    return ["-m", "deepspeed.launcher.runner", *launcher, script, *own]


def _only_this_machine(launcher: list[str]) -> bool:
    if "--hostfile" not in launcher:
        return False
    hosts = read_hostfile(Path(launcher[launcher.index("--hostfile") + 1]))
    return hosts.keys() <= {"localhost", "127.0.0.1"}


def _check_possible(launcher: list[str], line: str) -> None:
    environment = os.environ
    other = started_by(environment)
    if other not in ("deepspeed", "python"):
        raise HandoverError(
            f"{' '.join(launcher)}: flags of the deepspeed launcher, but {other} started this process and chooses "
            f"the hosts itself; drop them, or run: {line}"
        )
    world, local = int(environment.get("WORLD_SIZE", "1")), int(environment.get("LOCAL_SIZE", "0"))
    if local and world > local:
        raise HandoverError(
            f"already started on several hosts; put launcher flags before the script only: {line}"
        )
    if "--hostfile" in launcher:
        read_hostfile(Path(launcher[launcher.index("--hostfile") + 1]))  # which refuses what cannot be
