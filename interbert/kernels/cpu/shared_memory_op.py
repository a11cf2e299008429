"""DeepSpeed's op by which the ranks of a CPU host reduce through shared memory: built once a host, by one rank.

torch marks a build by a file `lock`, which outlives a builder that is killed, and whoever finds one waits without a
word and without end.
"""

import logging
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import deepspeed
import psutil
from deepspeed.accelerator import get_accelerator
from torch.utils.cpp_extension import _get_build_directory

from interbert.kernels.compile import turn

log = logging.getLogger(__name__)

BUILDER = "ShareMemCommBuilder"
BUILD_SECONDS = 300.0
"""Longer than its two sources take to compile: 32 to 58 s with two free cores, 149 s with a quarter of them."""
POLL = 0.1


def build_folder() -> Path:
    return Path(
        _get_build_directory(get_accelerator().create_op_builder(BUILDER).name, verbose=False)
    ).resolve()


def load_shared_memory_op() -> None:
    """Builds it where needed. DeepSpeed keeps what is loaded, so init_distributed builds nothing."""
    builder = get_accelerator().create_op_builder(BUILDER)
    if builder is None or not deepspeed.ops.__compatible_ops__.get(builder.NAME, False):
        return  # DeepSpeed does without, by the same rule
    folder = build_folder()
    with turn(folder), own_programs_first():
        wait_out(folder / "lock")
        builder.load(verbose=False)


def leave_no_name(rank: int) -> None:
    """Takes away the name of this rank's buffer, which DeepSpeed leaves in the host's memory, 66 MB a rank and run,
    even of runs that end well. Who has it open keeps it, and it goes with the last of them, however they end."""
    address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    Path(f"/dev/shm/deepspeed_allreduce_buffer_{os.getuid()}_{address}_{port}_{rank}").unlink(missing_ok=True)


@contextmanager
def own_programs_first() -> Generator[None]:
    """Whoever comes through ssh may find another ninja than who stands in a virtual environment. Versions of it keep
    their logs in different ways, and each would build again what the other has built."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), before)))
    try:
        yield
    finally:
        os.environ["PATH"] = before


def wait_out(lock: Path) -> None:
    """Returns once torch's lock is gone: released by its builder, or removed here where a builder left it.

    A builder has the file open until its build ends. Where no process of this host has, the builder was killed, or
    is on another host or in another container that shares the cache. So it is removed only when it is older than a
    build takes, which also lets the compilers end that a killed builder left at work.
    """
    told = False
    while (age := age_of(lock)) is not None:
        if age > BUILD_SECONDS and not is_open(lock):
            log.warning("%s is %.0f s old and nobody has it open: removed", lock, age)
            lock.unlink(missing_ok=True)
            return
        if age > 2 and not told:
            log.warning("waiting for %s: DeepSpeed's op is being built, or a build was killed lately", lock)
            told = True
        time.sleep(POLL)


def age_of(lock: Path) -> float | None:
    try:
        return time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return None


def is_open(lock: Path) -> bool:
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # another user's, who builds elsewhere, or just gone
            if any(file.path == str(lock) for file in process.open_files()):
                return True
    return False
