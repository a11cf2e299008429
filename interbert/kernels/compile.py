"""Plain C libraries made of our own sources: compiled once, kept in the user's cache, loaded through ctypes.

A library's name holds a digest of its sources, of the compiler's version and of the flags, so that nothing stale is
ever loaded.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path


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

    It is renamed to the target, so that several ranks may do this at once.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for command in commands:
            run([word.replace("{folder}", folder) for word in command])
        os.replace(Path(folder) / "library.so", target)


def run(command: list[str]) -> str:
    """What the command says on both channels."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout + done.stderr
