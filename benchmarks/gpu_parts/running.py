"""Groups of parts one after the other, each with its share of the time that is left."""

import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.gpu_parts.bounded import MARK, Ended, end_marked, run_bounded
from benchmarks.gpu_parts.parts import ROOT, Group, Part
from benchmarks.gpu_parts.record import Record, Result

SHORTEST = 2.0
"""Seconds; with less left a part is not begun."""


def run_groups(
    groups: list[Group], end: float, environment: dict[str, str], folder: Path, record: Record
) -> None:
    """What a group leaves, those after it share; so the last one ends in time."""
    for number, group in enumerate(groups):
        share = group.seconds / sum(later.seconds for later in groups[number:])
        run_group(
            number, group, time.monotonic() + share * (end - time.monotonic()), environment, folder, record
        )


def run_group(
    number: int, group: Group, end: float, environment: dict[str, str], folder: Path, record: Record
) -> None:
    """Beside each other, as many as there are cores; one that waits for its turn has what is left of the time."""
    mark = f"{environment[MARK]}.{number}"
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        places = {}
        for place, part in enumerate(group.parts):
            own = environment | {MARK: f"{mark}.{place}."}
            places[pool.submit(run_part, part, end, own, folder)] = (number, place)
        try:
            for future in as_completed(places):
                record.add(places[future], future.result())
        except BaseException:  # stopped from outside: nobody is waited for
            pool.shutdown(wait=False, cancel_futures=True)
            end_marked(mark)
            raise


def run_part(part: Part, end: float, environment: dict[str, str], folder: Path) -> Result:
    log = folder / f"{environment[MARK]}log"
    left = end - time.monotonic()
    if part.commands and left < SHORTEST:
        return Result(part.name, Ended("cut", 0.0, "not begun: no time was left"), [], "")
    ended, rows = run_bounded(part.commands, left, log, ROOT, environment), []
    try:  # also of one that was cut: it may have written what it had
        rows = part.rows()
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        if ended.how == "passed":
            ended = Ended("failed", ended.seconds, f"what it left: {error!r}")
    return Result(part.name, ended, rows, log.read_text(errors="replace"))
