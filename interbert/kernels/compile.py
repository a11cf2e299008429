"""Plain C libraries made of our own sources: compiled once, kept in the user's cache, loaded through ctypes.

A library's name holds a digest of its sources, of the compiler's version and of the flags, so that nothing stale is
ever loaded.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

LONGEST_BUILD = 600.0
"""Seconds."""


class Unavailable(Exception):
    """Why a library cannot be had here."""


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "interbert" / "kernels"


def host_compiler() -> str:
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise Unavailable(f"no {compiler}: install g++ 12 or later")
    return compiler


def digest(compiler: str, flags: Iterable[str], sources: Path) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    parts = [version, " ".join(flags).encode()]
    parts += [path.name.encode() + b"\0" + path.read_bytes() for path in sorted(sources.iterdir())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def build(target: Path, commands: list[list[str]]) -> None:
    """Runs the commands in a folder of their own, `{folder}` in them; the last one makes `{folder}/library.so`.

    It is renamed to the target, so nobody sees half a library. One process of a host does it, the others wait for
    what comes of it: the library, or the reason why there is none.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with turn(target) as (note, waited):
        if target.exists():
            return
        failure = note.read()
        if waited and failure:
            raise Unavailable(failure)
        note.truncate(0)
        try:
            _make(target, commands)
        except Unavailable as reason:
            note.seek(0)
            note.write(str(reason))
            note.flush()
            raise


def _make(target: Path, commands: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for command in commands:
            run([word.replace("{folder}", folder) for word in command])
        os.replace(Path(folder) / "library.so", target)


@contextmanager
def turn(target: Path) -> Generator[tuple[TextIO, bool]]:
    """(file for a note to those who wait, whether this one waited); by a lock that ends with its process.

    Where a file system knows no locks, and where somebody holds one for longer than any build takes, it goes on
    without: the library is only made twice.
    """
    path = target.with_name(f"{target.name}.{platform.node()}.lock")
    with open(path, "a+", errors="replace") as note:
        note.seek(0)
        began, waited = time.monotonic(), False
        while time.monotonic() - began < LONGEST_BUILD:
            try:
                fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = True
                time.sleep(0.05)
            except OSError:
                break
        yield note, waited


def run(command: list[str]) -> str:
    """What the command says on both channels."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout + done.stderr
