"""Commands that are given so many seconds, and leave nothing running.

What they start carries a mark in its environment, so it is found whichever way it was started: by a launcher, in a
session of its own, or left behind by a parent that has ended.
"""

import os
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "INTERBERT_GPU_PART"
LAST = 10.0
"""Seconds that a killed process may take to be gone."""


@dataclass(frozen=True)
class Ended:
    how: str
    """passed, failed, or cut."""
    seconds: float
    why: str = ""


def run_bounded(
    commands: list[list[str]], seconds: float, log: Path, folder: Path, environment: dict[str, str]
) -> Ended:
    """One after the other, until one fails or the time is over. What they say is added to `log`.

    The environment holds a MARK, by which what is still there at the end of each is found and killed.
    """
    began = time.monotonic()
    with open(log, "ab") as said:
        for command in commands:
            said.write(f"$ {shlex.join(command)}\n".encode())
            said.flush()
            left = seconds - (time.monotonic() - began)
            code = _run(command, left, said, folder, environment) if left > 0 else None
            took = time.monotonic() - began
            if code is None:
                return Ended("cut", took, f"not done after {took:.0f} s")
            if code:
                return Ended("failed", took, f"exit code {code}")
    return Ended("passed", time.monotonic() - began)


def _run(command: list[str], seconds: float, said, folder: Path, environment: dict[str, str]) -> int | None:
    """Its exit code; None when it was stopped."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_marked(environment[MARK])
        with suppress(subprocess.TimeoutExpired):
            child.wait(LAST)


def end_marked(mark: str) -> list[int]:
    """Kills what carries a mark that begins so; returns what is there all the same, which a driver may hold on to."""
    began = time.monotonic()
    while alive := marked(mark):
        if time.monotonic() - began > LAST:
            break
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    return alive


def marked(mark: str) -> list[int]:
    """Processes of this user. What has ended, and waits for its parent to look, has no environment any more."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0")
                if any(word.startswith(wanted) for word in words):
                    found.append(int(entry.name))
    return found
