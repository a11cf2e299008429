"""The line in which requests wait: bounded by the work that they are, first come, first served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from interbert.search.engine.jobs import Job
from interbert.search.requests import Busy, Closing

REMEMBERED = 0.8
"""Of the tokens and seconds so far, at each micro-batch."""
REST = 0.5
"""Seconds without work, after which a worker lets go of what others could use."""


class Line:
    def __init__(self, most_tokens: int, most_seconds: float) -> None:
        self._most_tokens, self._most_seconds = most_tokens, most_seconds
        self._jobs: list[Job] = []
        self._written: list[Job] = []
        """Those of which all that is left is a write, which is done elsewhere."""
        self._away: list[Job] = []
        """Those that come back: what is done elsewhere now is not the last of it."""
        self._changed = threading.Condition()
        self._closing = False
        self.speed = 0.0
        """Tokens a second; 0 before the second micro-batch."""
        self._ran: tuple[float, float] | None = None
        """Tokens and seconds, the more the later they were. None before the first."""
        self.dropped = self.late = self.refused = 0

    @property
    def tokens(self) -> int:
        return sum(job.tokens for job in [*self._jobs, *self._away, *self._written])

    def __len__(self) -> int:
        return len(self._jobs) + len(self._away) + len(self._written)

    def must_have_room(self) -> None:
        """`Busy` where nothing more is taken on, whatever it is: so that who is refused costs next to nothing."""
        with self._changed:
            self._refuse(1, self._most_seconds)

    def join(self, job: Job) -> None:
        """`Busy` where too much waits; what comes to an empty line is always taken."""
        with self._changed:
            if self._closing:
                raise Closing("it is being closed, and takes nothing on")
            longest = self._most_seconds
            if job.deadline is not None:
                longest = min(longest, job.deadline - job.begun)
            self._refuse(job.tokens, longest)
            self._jobs.append(job)
            self._changed.notify()

    def _refuse(self, tokens: int, longest: float) -> None:
        """So many more, where they would wait longer or are too many. Under the lock."""
        waiting = self.tokens
        # What is left to be written takes memory, and no time of the model's.
        ahead = sum(job.tokens for job in [*self._jobs, *self._away])
        wait = ahead / self.speed if self.speed else 0.0
        if waiting and (waiting + tokens > self._most_tokens or wait > longest):
            self.refused += 1
            raise Busy(max(wait, 0.05))

    def wait(self, rest: Callable[[], None] = lambda: None) -> list[Job]:
        """Those that wait, as soon as there are any; none when the line is closed and empty. rest: done once, where
        nothing comes for a while."""
        rested = False
        with self._changed:
            while True:
                self._leave(Job.left, "dropped")
                self._leave(Job.late, "late", Job.fail_late)
                if self._jobs or (self._closing and not self._away):
                    return list(self._jobs)
                if not self._changed.wait(None if rested else REST) and not rested:
                    rested = True
                    rest()

    def hand_over(self, job: Job) -> None:
        """It still counts, until it is done; `wait` says no more of it."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._written.append(job)

    def send_away(self, job: Job) -> None:
        """It still counts; `wait` says no more of it until it is back."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._away.append(job)

    def back(self, job: Job) -> None:
        with self._changed:
            if job in self._away:  # else it was closed meanwhile
                self._away.remove(job)
                self._jobs.append(job)
                self._changed.notify_all()

    def done(self, job: Job) -> None:
        with self._changed:
            for jobs in (self._jobs, self._away, self._written):
                if job in jobs:
                    jobs.remove(job)
            self._changed.notify_all()

    def ran(self, tokens: int, seconds: float) -> None:
        """A micro-batch took so long. The first says nothing: much is read and compiled with it."""
        if self._ran is None:
            self._ran = (0.0, 0.0)
            return
        # Not a mean of speeds, in which a few words count as much as a thousand pairs.
        all_tokens, all_seconds = (REMEMBERED * one for one in self._ran)
        self._ran = (all_tokens + tokens, all_seconds + max(seconds, 1e-6))
        self.speed = self._ran[0] / self._ran[1]

    def close(self, drain: float) -> None:
        """Nothing more joins; waits so long for what is there, and fails the rest."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            end = time.monotonic() + drain
            while len(self) and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            for job in [*self._jobs, *self._away]:
                job.fail(Closing("it was closed before the answer was there"))
            self._jobs.clear()
            self._away.clear()
            self._changed.notify_all()

    @property
    def closing(self) -> bool:
        return self._closing

    def _leave(
        self, goes: Callable[[Job], bool], counted: str, tell: Callable[[Job], None] = lambda _: None
    ) -> None:
        """Under the lock."""
        going = [job for job in self._jobs if goes(job)]
        for job in going:
            self._jobs.remove(job)
            tell(job)
        setattr(self, counted, getattr(self, counted) + len(going))
