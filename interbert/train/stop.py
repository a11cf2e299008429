"""A request to stop. The handler only sets a flag; the loop acts on it at the next step, on all ranks alike."""

import signal


class StopRequest:
    def __init__(self) -> None:
        self.reason = ""
        for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
            signal.signal(getattr(signal, name), self._note)

    @property
    def requested(self) -> bool:
        return bool(self.reason)

    def _note(self, number: int, frame) -> None:
        self.reason = signal.Signals(number).name
        if number == signal.SIGINT:  # whoever presses Ctrl-C again does not want to wait
            signal.signal(signal.SIGINT, signal.default_int_handler)
