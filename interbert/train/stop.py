"""A request to stop: by a signal, by a file, or because the launcher is gone.

Nothing happens when it is made; the loop asks at each step, and all ranks stop at the same one.
"""

import os
import signal
import time
from pathlib import Path

LAUNCHERS = ("deepspeed", "torchrun", "mpirun")
"""They start ranks and stay: when one is gone, nobody would end its ranks."""
FILE_EVERY = 1.0
"""Seconds between two looks for the file."""


class StopRequest:
    def __init__(self, file: Path) -> None:
        self._file, self._looked = file, 0.0
        self._parent, self._has_launcher = os.getppid(), False
        self._reason = ""

    def listen(self) -> None:
        """First thing: until then a signal ends the process."""
        for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
            signal.signal(getattr(signal, name), self._note)

    def watch_launcher(self, launcher: str) -> None:
        self._has_launcher = launcher in LAUNCHERS

    def asked(self) -> str:
        """Why to stop; nothing if nobody asked."""
        if not self._reason and self._has_launcher and os.getppid() != self._parent:
            self._reason = "the launcher is gone"
        now = time.monotonic()
        if not self._reason and now - self._looked >= FILE_EVERY:
            self._looked = now
            if self._file.exists():
                self._reason = f"file {self._file.name}"
        return self._reason

    def done(self) -> None:
        """The stop was obeyed: the file has served."""
        self._file.unlink(missing_ok=True)

    def _note(self, number: int, frame) -> None:
        self._reason = signal.Signals(number).name
        if number == signal.SIGINT:  # whoever presses Ctrl-C again does not want to wait
            signal.signal(signal.SIGINT, signal.default_int_handler)
