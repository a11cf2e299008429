"""A small process that outlives rank 0 and writes its end into status.json, should it be killed.

It waits for a pipe that closes when rank 0 is gone, however that happens.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from interbert.train.folder.heartbeats import heard
from interbert.train.folder.run_folder import RunFolder, tell_of_stage, wait_for_lock

KILLED = (
    "rank 0 was killed from outside or ran out of memory; the same command goes on from the last checkpoint"
)


def post_witness(folder: RunFolder) -> None:
    """Call on rank 0, once it holds the folder's lock."""
    reading, _ = os.pipe()
    quiet = subprocess.DEVNULL
    words = [sys.executable, "-m", "interbert.train.folder.witness", str(folder.path.resolve())]
    # Apart from the run's session, so that what kills all of the run's processes does not reach it.
    subprocess.Popen(
        words,
        stdin=reading,
        stdout=quiet,
        stderr=quiet,
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    )
    os.close(reading)  # the other end stays open, in no other process, for as long as this one lives


def watch(folder: RunFolder) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    os.read(0, 1)
    with open(folder.path / ".lock", "a") as lock:
        # The pipe may close well before the lock is free; if it stays taken, another run has begun.
        if not wait_for_lock(lock, seconds=30):
            return
        whole = folder.read_status()
        for status in folder.path.glob("*/status.json"):
            stage = RunFolder(status.parent)
            tell(stage)
            if whole is not None and whole["state"] == "running":
                tell_of_stage(folder, stage, whole["step"])
        tell(folder)


def tell(folder: RunFolder) -> None:
    status = folder.read_status()
    if status is not None and status["state"] == "running":
        folder.write_status("failed", max(status["step"], last_heard(folder)), KILLED, "elsewhere")


def last_heard(folder: RunFolder) -> int:
    """Step of rank 0's last sign of life."""
    return heard(folder).get(0, {"step": 0})["step"]


if __name__ == "__main__":
    watch(RunFolder(Path(sys.argv[1])))
