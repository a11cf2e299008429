"""Where in its input a worker is: known to others even when it is killed, so that the place is not tried for ever."""

import json
import mmap
import struct
import time
from pathlib import Path

from interbert.files import write_json

_NOTE = struct.Struct("<qd")


class Notes:
    """A place and the time when it was begun, in a file that worker and watcher both map; and the places that were
    fatal to earlier workers, with why."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._fatal_path = folder / f"{name}.at", folder / f"{name}.fatal.json"
        if not self._path.exists():
            self._path.write_bytes(_NOTE.pack(-1, 0.0))
        with open(self._path, "r+b") as file:
            self._note = mmap.mmap(file.fileno(), _NOTE.size)
        self.fatal: dict[int, str] = {}
        if self._fatal_path.exists():
            self.fatal = {int(place): why for place, why in json.loads(self._fatal_path.read_text()).items()}

    def begin(self, place: int) -> None:
        self._note[:] = _NOTE.pack(place, time.monotonic())

    def place(self) -> tuple[int, float]:
        """And since when, by a clock that a machine's sleep does not move; -1: nothing was begun."""
        place, since = _NOTE.unpack(self._note[:])
        return place, since

    def add_fatal(self, place: int, why: str) -> None:
        self.fatal[place] = why
        write_json(self._fatal_path, self.fatal)
        self.forget()

    def forget(self) -> None:
        self._note[:] = _NOTE.pack(-1, 0.0)

    def remove(self) -> None:
        self._note.close()
        self._path.unlink(missing_ok=True)
        self._fatal_path.unlink(missing_ok=True)
