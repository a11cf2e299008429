"""Python processes that begin with everything imported: forked from one that has imported it once.

A start of launch/pretrain.py takes six to ten seconds, nearly all of them imports; a fork takes none of them. What is
run, its words, environment, output and exit code are those of a start.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PATHS = os.pathsep.join(map(str, (TESTS / "no_gpu", TESTS, ROOT)))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["nursery_imports"])


class Forked:
    """`python *words` in the project's folder, once for each environment; as much of a Popen as tests use.

    All of them write into one pipe, as ranks of a launcher do.
    """

    def __init__(self, words: list[str], environments: list[dict[str, str]]) -> None:
        reading, writing = CONTEXT.Pipe(duplex=False)
        with _environment_of_the_first(environments[0]):
            self.processes = [
                CONTEXT.Process(target=_become, args=(words, environment, writing))
                for environment in environments
            ]
            for process in self.processes:
                process.start()
        writing.close()
        self.stdout = os.fdopen(os.dup(reading.fileno()))
        reading.close()
        self.pid = self.processes[0].pid

    @property
    def codes(self) -> list[int | None]:
        return [process.exitcode for process in self.processes]

    @property
    def returncode(self) -> int | None:
        """Of the first that failed, once all have ended."""
        return None if None in self.codes else next((code for code in self.codes if code), 0)

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float = 1500) -> tuple[str, None]:
        end = time.monotonic() + timeout
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(self.stdout.read()), daemon=True)
        reader.start()
        reader.join(end - time.monotonic())
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        if reader.is_alive() or self.returncode is None:
            raise subprocess.TimeoutExpired("forked processes", timeout)
        return said[0], None

    def send_signal(self, number: int) -> None:
        for process in self.processes:
            if process.exitcode is None:
                os.kill(process.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(words: list[str], timeout: float = 120) -> tuple[int, str]:
    """Exit code and output of `python *words`, in the environment of the test, without a GPU."""
    process = Forked(words, [dict(os.environ, CUDA_VISIBLE_DEVICES="")])
    try:
        output, _ = process.communicate(timeout)
    finally:
        process.kill()
    return process.returncode, output


class Subprocess:
    """In the place of a benchmark's module `subprocess`: the Pythons that it runs have everything imported before."""

    STDOUT = subprocess.STDOUT

    @staticmethod
    def run(command: list[str], *, stdout: IO[str], **_: object) -> subprocess.CompletedProcess:
        code, said = run_forked(command[1:])
        stdout.write(said)
        return subprocess.CompletedProcess(command, code)


@contextmanager
def _environment_of_the_first(environment: dict[str, str]) -> Iterator[None]:
    """Whoever is started first starts the process that imports; its environment is taken from this one."""
    kept = dict(os.environ)
    os.environ.update(environment)
    os.environ["PYTHONPATH"] = PATHS
    os.environ.pop("XDG_CACHE_HOME", None)  # DeepSpeed's op lies in the user's own cache
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _become(words: list[str], environment: dict[str, str], output: Connection) -> None:
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    try:
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        elif words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
