"""A thread of each rank that says where the rank is, and ends it when it has stood still for too long.

Where a rank is lies in heartbeats/rank_R.json: so whoever hangs, the others' files say who is behind.
"""

import faulthandler
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from interbert.config import TrainSettings
from interbert.files import read_json, write_json
from interbert.train.run_folder import EXIT_CODES, RunFolder

MEDIANS = 20
"""So many times the usual length of a step is a hang, if that is longer than the patience."""
EVERY = 0.5
HEARTBEAT = 2.0


class Watchdog:
    def __init__(self, folder: RunFolder, rank: int, settings: TrainSettings) -> None:
        self._folder, self._rank, self._settings = folder, rank, settings
        self._lengths: deque[float] = deque(maxlen=50)
        self._step, self._phase = 0, "starting"
        self._since = time.monotonic()
        self._limit: float | None = None  # until the first step is done: data may take its time
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def step(self, step: int) -> None:
        """A step is done, the next one begins."""
        now = time.monotonic()
        if self._phase == "step":
            self._lengths.append(now - self._since)
        self._enter("step", self._step_limit(), step)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Something that is no step and may take longer: saving, validation."""
        self._enter(name, self._settings.save_patience, self._step)
        try:
            yield
        finally:
            self._enter("between steps", self._step_limit(), self._step)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _enter(self, phase: str, limit: float | None, step: int) -> None:
        self._step, self._phase, self._limit, self._since = step, phase, limit, time.monotonic()

    def _step_limit(self) -> float | None:
        if not self._lengths:
            return None
        return max(self._settings.patience, MEDIANS * statistics.median(self._lengths))

    def _watch(self) -> None:
        told = -HEARTBEAT
        while True:
            now = time.monotonic()
            if now - told >= HEARTBEAT:
                told = now
                with suppress(OSError):  # a full disk is told by whoever needs it
                    self._beat()
            if self._ended.wait(EVERY):
                return
            now = time.monotonic()
            limit = self._limit
            if limit is not None and now - self._since > limit:
                self._end(now - self._since)

    def _beat(self) -> None:
        where = {"time": time.time(), "step": self._step, "phase": self._phase}
        write_json(self._folder.heartbeats / f"rank_{self._rank}.json", where)

    def _end(self, stood: float) -> None:
        usual = f", a step usually takes {statistics.median(self._lengths):.2g} s" if self._lengths else ""
        traces = self._folder.path / f"hang_rank{self._rank}.txt"
        reason = (
            f"rank {self._rank} hangs: {stood:.0f} s in phase {self._phase!r} of step {self._step + 1}{usual}"
        )
        try:
            with open(traces, "w") as file:
                faulthandler.dump_traceback(file, all_threads=True)
            reason += f"; {self._who_is_behind()}; what each thread was doing: {traces}"
            reason = self._folder.write_failure(self._rank, self._step, reason)
        finally:
            print(f"failed: {reason}", file=sys.stderr, flush=True)
            os._exit(EXIT_CODES["failed"])

    def _who_is_behind(self) -> str:
        found = {}
        for path in self._folder.heartbeats.glob("rank_*.json"):
            with suppress(ValueError, OSError):
                found[int(path.stem.removeprefix("rank_"))] = read_json(path)
        if not found:
            return "no rank has told where it is"
        last = min(where["step"] for where in found.values())
        behind = [
            f"rank {rank} ({found[rank]['phase']}, heard of {time.time() - found[rank]['time']:.0f} s ago)"
            for rank in sorted(found)
            if found[rank]["step"] == last
        ]
        return f"least far, at step {last}: {', '.join(behind[:8])}"
