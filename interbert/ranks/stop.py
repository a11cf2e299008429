"""A request to stop: by a signal, by a file, or because the launcher is gone.

Nothing happens when it is made; the loop asks at each step, and all ranks stop at the same one.
"""

import signal
import time
from pathlib import Path

import psutil

LAUNCHERS = ("deepspeed", "torchrun", "mpirun")
"""They start ranks and stay: when one is gone, nobody would end its ranks."""
PYTHON_LAUNCHERS = ("deepspeed", "torchrun", "torch.distributed", "launch/")
MPI_LAUNCHERS = ("mpirun", "mpiexec", "orterun", "orted", "prterun", "prted", "hydra_pmi_proxy")
BY_FILE = "file"
LOOK_EVERY = 1.0
"""Seconds between two looks for the file and for the launcher."""


class StopRequest:
    def __init__(self, file: Path) -> None:
        self._file, self._looked = file, 0.0
        self._launchers, self._has_launcher = chain_of_launchers(), False
        self._reason = self._signal = ""
        self.by_hand = False
        """Whether a file asked for the stop that was obeyed: a person, who will start it again by hand or never."""

    def listen(self) -> None:
        """First thing: until then a signal ends the process."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._note)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup asks for
            signal.signal(signal.SIGHUP, self._note)

    @property
    def signal(self) -> str:
        """The signal that asked. A rank alone may obey it at once; about a file, all of them must agree."""
        return self._signal

    def watch_launcher(self, launcher: str) -> None:
        self._has_launcher = launcher in LAUNCHERS

    def asked(self) -> str:
        """Why to stop; nothing if nobody asked."""
        now = time.monotonic()
        if not self._reason and now - self._looked >= LOOK_EVERY:
            self._looked = now
            if self._file.exists():
                self._reason = f"{BY_FILE} {self._file.name}"
            elif self._has_launcher and any(parent_of(child) != parent for child, parent in self._launchers):
                self._reason = "the launcher is gone"
        return self._reason

    def ask(self, reason: str) -> None:
        self._reason = self._reason or reason

    def obey(self, reasons: list[str]) -> str:
        """The stop that these ranks were asked for, in words; alike on all ranks."""
        self.by_hand = any(reason.startswith(BY_FILE) for reason in reasons)
        return ", ".join(dict.fromkeys(f"{r}, rank {i}" for i, r in enumerate(reasons) if r))

    def done(self) -> None:
        """The stop was obeyed: the file has served."""
        self._file.unlink(missing_ok=True)

    def _note(self, number: int, frame) -> None:
        self._reason = self._signal = signal.Signals(number).name
        if number == signal.SIGINT:  # whoever presses Ctrl-C again does not want to wait
            signal.signal(signal.SIGINT, signal.default_int_handler)


def chain_of_launchers() -> list[tuple[int, int]]:
    """(process, its parent), from this one up: a launcher may have been started by another one.

    What started the first launcher may go, as a shell does after `nohup`.
    """
    process, links = psutil.Process(), []
    try:
        while (parent := process.parent()) is not None:
            launches = is_launcher(parent)
            if launches or not links:
                links.append((process.pid, parent.pid))
            if not launches:
                break
            process = parent
    except psutil.Error:  # another user's, or just gone
        pass
    return links


def is_launcher(process: psutil.Process) -> bool:
    program, words = Path(process.exe()).name, process.cmdline()[1:6]
    if program.startswith("python"):
        return any(name in word for word in words for name in PYTHON_LAUNCHERS)
    return program in MPI_LAUNCHERS


def parent_of(process: int) -> int | None:
    try:
        return psutil.Process(process).ppid()
    except psutil.Error:
        return None
