"""What all commands have in common: how their paths are read, and how they end."""

import argparse
import contextlib
import glob
import io
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from interbert.printing import printable_lines

INTERRUPTED, NOBODY_READS = 130, 141
"""As a shell has it of what a signal ended: SIGINT, SIGPIPE."""
_PATHS = {
    *("data", "model", "detector", "recipe", "deepspeed_config"),
    *("examples", "validation", "vectors", "output_dir", "resume"),
}
"""Arguments that are texts, but may mean paths: a name is left as it is."""


def run_door(name: str, run: Callable[[], int], fault_code: int = 1) -> int:
    """The exit code of a command. A user's fault is told in one line, a fault of ours keeps its traceback; a command
    whose reader has gone, or that is interrupted, ends without a word."""
    for stream in (sys.stdout, sys.stderr):
        # For a name that is no Unicode, or a terminal that knows none; not every stream can.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")
    with _noted_interrupts() as interrupts:
        try:
            try:
                return run()
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            return INTERRUPTED if interrupts else _forget_output()
        except Exception as error:
            if interrupts:
                return INTERRUPTED
            if not isinstance(error, ValueError | OSError):
                raise
            try:
                print(f"{name}: {printable_lines(error)}", file=sys.stderr, flush=True)
            except BrokenPipeError:
                return _forget_output()
            return fault_code


@contextlib.contextmanager
def _noted_interrupts() -> Generator[list[int]]:
    """Those that came: a library that is interrupted while it is imported says that it cannot be."""
    came: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _is_main_thread():
        yield came
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield came
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def go_with_the_parent() -> None:
    """For a worker: what killed its parent would else leave it waiting for work, and for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _forget_output() -> int:
    """What is still to be written when Python ends goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    return NOBODY_READS


def expand_paths(arguments: argparse.Namespace) -> argparse.Namespace:
    """The same with `~` expanded in all paths, and patterns in all lists of them."""
    for name, value in vars(arguments).items():
        if isinstance(value, Path) or (name in _PATHS and isinstance(value, str)):
            setattr(arguments, name, type(value)(os.path.expanduser(value)))
        elif isinstance(value, list) and (name in _PATHS or all(isinstance(one, Path) for one in value)):
            setattr(arguments, name, [path for one in value for path in given_paths(one)])
    return arguments


def given_paths(given: Any) -> list[Any]:
    """What a path or pattern stands for: what is there under that very name, or all that fit it, by name. (A shell
    does it too, but not within quotes, nor behind `=`.)"""
    kind, path = type(given), os.path.expanduser(given)
    if os.path.lexists(path) or not glob.has_magic(path):
        return [kind(path)]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise ValueError(f"{path}: nothing there fits this pattern; correct it")
    return [kind(one) for one in found]
