"""Figures gathered between two lines of metrics."""

import math
import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from interbert.ranks.distributed import Ranks
from interbert.train.engine.engine import summarise
from interbert.train.monitor.work_clock import WorkClock
from interbert.train.task import Term

HISTORY, LEAST, FAR = 200, 50, 8
"""A step's loss is a spike when it lies `FAR` usual deviations above the median of the last `HISTORY` steps, of which
there must be `LEAST`."""


@dataclass
class Spike:
    step: int
    loss: float
    usual: float
    read: str
    """What the step read."""


class Window:
    """Sums since the last line; nothing waits for the device before the line is due."""

    def __init__(self, terms: dict[str, Term], tokens_full: float, clock: WorkClock) -> None:
        self.terms, self._clock = terms, clock
        self.tokens_full = tokens_full
        """Tokens that a step would hold if every micro-batch were full."""
        self._history: deque[float] = deque(maxlen=HISTORY)
        self.spikes: list[Spike] = []
        """Of the window closed last."""
        self._start()
        self._done, self._first = 0, self.began

    def _start(self) -> None:
        self.began = self._clock.seconds()
        self.waited = 0.0
        self.steps: list[tuple[int, str, dict[str, float], Tensor]] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for data."""
        began = self._clock.seconds()
        yield
        self.waited += self._clock.seconds() - began

    def add(self, step: int, read: str, stats: Tensor, counts: dict[str, float]) -> None:
        """stats: of this rank; counts: of all ranks."""
        self.steps.append((step, read, counts, stats))
        self._done += 1

    def remaining(self, steps: int) -> float:
        """Seconds that so many more steps take, at the pace of all that were added."""
        return (self._clock.seconds() - self._first) / self._done * steps

    def close(self, ranks: Ranks) -> dict[str, float]:
        """Figures over all ranks; call on all of them. Starts the next window."""
        own = torch.stack([stats for *_, stats in self.steps]).double()
        of_steps = torch.tensor(ranks.sum(own.flatten().tolist())).view(len(self.steps), -1)
        seconds = self._clock.seconds() - self.began
        counts = {name: sum(c[name] for _, _, c, _ in self.steps) for name in self.steps[0][2]}
        figures = self._means(of_steps.sum(0).tolist(), counts)
        figures |= {
            "samples_per_second": counts["samples"] / seconds,
            "tokens_per_second": counts["all_tokens"] / seconds,
            "data_wait_share": self.waited / seconds,
            "packing_efficiency": counts["all_tokens"] / (len(self.steps) * self.tokens_full),
        }
        self.spikes = []
        for (step, read, its_counts, _), sums in zip(self.steps, of_steps.tolist(), strict=True):
            self._judge(step, read, self._means(sums, its_counts)["loss"])
        self._start()
        return figures

    def _means(self, sums: list[float], counts: dict[str, float]) -> dict[str, float]:
        values = []
        for i, term in enumerate(self.terms.values()):
            values += [sums[2 * i], sums[2 * i + 1], counts[term.counted_by]]
        return summarise(self.terms, values)

    def _judge(self, step: int, read: str, loss: float) -> None:
        if len(self._history) >= LEAST:
            usual = statistics.median(self._history)
            deviation = statistics.median(abs(x - usual) for x in self._history)
            if loss > usual + FAR * max(deviation, 1e-3 * abs(usual)):
                self.spikes.append(Spike(step, loss, usual, read))
        if math.isfinite(loss):
            self._history.append(loss)
