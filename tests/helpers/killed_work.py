"""Work of a stage that dies as workers do: by a signal, for want of memory, by staying where it is."""

import json
import os
import signal
import time
from pathlib import Path

from interbert.curate.engine.notes import Notes

FATAL, STUCK, KILLED_ONCE = 3, 5, 7
MUCH = 100_000
"""More than a pipe holds."""


def work(output: Path, stage: str, number: int, notes: Notes) -> None:
    """Ten places; what was passed over is left in a file."""
    done = []
    for place in range(10):
        if place in notes.fatal:
            done.append([place, notes.fatal[place]])
            continue
        notes.begin(place)
        if place == FATAL and stage == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if place == STUCK and stage == "sticks":
            time.sleep(60)
        if place == KILLED_ONCE and stage == "once" and _is_first(output / "killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if stage == "fails":
            raise ValueError(f"unit {number} is broken" + " and broken" * MUCH)
        done.append([place, "done"])
    (output / f"{number}.json").write_text(json.dumps(done))


def _is_first(mark: Path) -> bool:
    """Of all workers, two of which may come at the same moment."""
    try:
        mark.mkdir()
    except FileExistsError:
        return False
    return True


def dies_at_once(output: Path, stage: str, number: int, notes: Notes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def never_passes_over(output: Path, stage: str, number: int, notes: Notes) -> None:
    notes.begin(FATAL)
    os.kill(os.getpid(), signal.SIGKILL)
