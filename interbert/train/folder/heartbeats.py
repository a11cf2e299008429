"""Where each rank is: whoever hangs, the others can read who is behind.

Each rank puts its place into its host's memory, and one of them, whoever comes first, writes what all have put there
to heartbeats/rank_R.json, R being the lowest of them: one small write a host every two seconds on the disk that all
hosts share. Nothing of it is forced to disk, for it is worth nothing afterwards.
"""

import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from interbert.files import replaced
from interbert.train.folder.run_folder import RunFolder

EVERY = 2.0
MEMORY = Path("/dev/shm")
UNHEARD = 10.0
"""Seconds after which the silence of a host tells something."""

Places = dict[int, dict[str, Any]]
"""Of each rank: time, step, phase and host."""


class Heartbeats:
    def __init__(self, folder: RunFolder, rank: int) -> None:
        self._shared, self._rank, self._began = folder.heartbeats, rank, time.time()
        self._host = os.environ.get("SLURMD_NODENAME") or platform.node()
        digest = hashlib.sha256(str(folder.path.resolve()).encode()).hexdigest()[:16]
        self._board = MEMORY / f"interbert-{os.getuid()}-{digest}"
        if rank == 0:
            self._forget_earlier_run()

    def _forget_earlier_run(self) -> None:
        """By their age, for other hosts' ranks may have begun to tell of this one."""
        for left in self._shared.glob("rank_*.json"):
            with suppress(OSError):
                if left.stat().st_mtime < self._began - EVERY:
                    left.unlink()

    def beat(self, step: int, phase: str) -> None:
        self._take_board()
        place = {"time": time.time(), "step": step, "phase": phase, "host": self._host}
        _replace(self._board / f"{self._rank}.json", place)
        written = self._board / "written"
        with suppress(FileNotFoundError):
            if 0 <= time.time() - written.stat().st_mtime < 0.75 * EVERY:
                return  # another rank of this host has just told it all
        written.touch()
        places = {
            rank: told for rank, told in _read_places(self._board) if told["time"] >= self._began - EVERY
        }
        self._shared.mkdir(parents=True, exist_ok=True)
        _replace(self._shared / f"rank_{min(places)}.json", places)

    def close(self) -> None:
        with suppress(OSError):
            (self._board / f"{self._rank}.json").unlink(missing_ok=True)
            if not any(self._board.glob("[0-9]*.json")):
                shutil.rmtree(self._board, ignore_errors=True)

    def _take_board(self) -> None:
        self._board.mkdir(mode=0o700, exist_ok=True)
        if self._board.is_symlink() or self._board.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._board} is another user's")


def heard(folder: RunFolder) -> Places:
    """The last word of each rank."""
    found: Places = {}
    for path in folder.heartbeats.glob("rank_*.json"):
        with suppress(ValueError, OSError):
            for rank, place in json.loads(path.read_text()).items():
                if place["time"] > found.get(int(rank), {"time": 0})["time"]:
                    found[int(rank)] = place
    return found


def describe_behind(places: Places) -> str:
    """In words: who is least far, and of whom nothing was heard for longest."""
    if not places:
        return "no rank has told where it is"
    last, now = min(place["step"] for place in places.values()), time.time()
    behind = [
        f"rank {rank} ({place['phase']}, heard of {now - place['time']:.0f} s ago)"
        for rank, place in sorted(places.items(), key=lambda told: told[1]["time"])
        if place["step"] == last
    ]
    return f"least far, at step {last}, longest unheard first: {', '.join(behind[:8])}"


def hosts_behind(places: Places) -> list[str]:
    """Hosts of ranks that are silent; if none is, of those that are behind others; none where all stand alike."""
    now = time.time()
    silent = {place["host"] for place in places.values() if now - place["time"] > UNHEARD}
    if silent or not places:
        return sorted(silent)
    last = min(place["step"] for place in places.values())
    behind = {place["host"] for place in places.values() if place["step"] == last}
    return sorted(behind) if len({place["step"] for place in places.values()}) > 1 else []


def _read_places(board: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for path in board.glob("[0-9]*.json"):
        with suppress(ValueError, OSError):
            yield int(path.stem), json.loads(path.read_text())


def _replace(path: Path, value: Any) -> None:
    with replaced(path, forced=False) as partial:
        partial.write_text(json.dumps(value))
