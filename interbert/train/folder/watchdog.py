"""A thread of each rank that says where the rank is, and ends it when it has stood still for too long."""

import faulthandler
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from interbert.config import TrainSettings
from interbert.ranks.ending import EXIT_CODES
from interbert.train.folder import heartbeats
from interbert.train.folder.heartbeats import Heartbeats, describe_behind, heard, hosts_behind
from interbert.train.folder.run_folder import RunFolder

MEDIANS = 20
"""So many times the usual length of a step is a hang, if that is longer than the patience."""
STARTING = 2 * 3600.0
"""Seconds until the first step: data may take its time."""
EVERY = 0.5
SUSPENDED = 5.0
"""A longer time between two looks was not spent running."""
TELLING = 15.0
"""Seconds for writing down what hangs."""


@dataclass(frozen=True)
class Place:
    phase: str
    step: int
    since: float
    limit: float
    """Seconds that it may take."""


class Watchdog:
    def __init__(self, folder: RunFolder, rank: int, settings: TrainSettings) -> None:
        self._folder, self._rank, self._settings = folder, rank, settings
        self._lengths: deque[float] = deque(maxlen=50)
        self._heartbeats = Heartbeats(folder, rank)
        self._enter("starting", STARTING, 0)
        self._ended = threading.Event()
        # Apart from each other: a disk that hangs keeps the one that writes, not the one that counts.
        self._threads = [
            threading.Thread(target=work, name=f"watchdog {work.__name__}", daemon=True)
            for work in (self._watch, self._beat)
        ]
        for thread in self._threads:
            thread.start()

    def step(self, step: int) -> None:
        """A step is done, the next one begins."""
        if self._place.phase == "step":
            self._lengths.append(time.monotonic() - self._place.since)
        self._enter("step", self._step_limit(), step)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Something that is no step and may take longer: saving, validation."""
        self._enter(name, self._settings.save_patience, self._place.step)
        try:
            yield
        finally:
            self._enter("between steps", self._step_limit(), self._place.step)

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._heartbeats.close()

    def _enter(self, phase: str, limit: float, step: int) -> None:
        self._place = Place(phase, step, time.monotonic(), limit)

    def _step_limit(self) -> float:
        if not self._lengths:  # the first ones may compile kernels
            return max(self._settings.patience, self._settings.save_patience)
        return max(self._settings.patience, MEDIANS * statistics.median(self._lengths))

    def _watch(self) -> None:
        slept, looked = 0.0, time.monotonic()
        judged = self._place
        while not self._ended.wait(EVERY):
            now = time.monotonic()
            # Whoever was suspended was not hanging in that time.
            slept += max(0.0, now - looked - SUSPENDED)
            looked = now
            if judged is not self._place:
                judged, slept = self._place, 0.0
            stood = now - judged.since - slept
            if stood > judged.limit:
                self._end(judged, stood)

    def _beat(self) -> None:
        while True:
            place = self._place
            with suppress(OSError, ValueError):  # a full disk is told by whoever needs it
                self._heartbeats.beat(place.step, place.phase)
            if self._ended.wait(heartbeats.EVERY):
                return

    def _end(self, place: Place, stood: float) -> None:
        usual = f", a step usually takes {statistics.median(self._lengths):.2g} s" if self._lengths else ""
        reason = (
            f"rank {self._rank} hangs: {stood:.0f} s in phase {place.phase!r} of step {place.step + 1}{usual}"
        )
        # The disk may be what hangs, or whoever should read what is printed.
        telling = threading.Thread(target=self._tell, args=(reason, place.step), daemon=True)
        telling.start()
        telling.join(timeout=TELLING)
        os._exit(EXIT_CODES["failed"])

    def _tell(self, reason: str, step: int) -> None:
        _print(reason)
        traces = self._folder.path / f"hang_rank{self._rank}.txt"
        with open(traces, "w") as file:
            faulthandler.dump_traceback(file, all_threads=True)
        places = heard(self._folder)
        reason += f"; {describe_behind(places)}; what each thread was doing: {traces}"
        _print(self._folder.write_failure(self._rank, step, reason, "elsewhere", hosts_behind(places)))


def _print(reason: str) -> None:
    with suppress(OSError):
        print(f"failed: {reason}", file=sys.stderr, flush=True)
