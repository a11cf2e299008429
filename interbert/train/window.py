"""Figures gathered between two lines of metrics."""

import time

import torch
from torch import Tensor

from interbert import objectives
from interbert.train.distributed import Ranks
from interbert.train.engine import summarise


class Window:
    """Sums since the last line; nothing waits for the device before the line is due."""

    def __init__(self, weights: dict[str, float], tokens_full: float) -> None:
        self.weights = weights
        self.tokens_full = tokens_full
        """Tokens that a step would hold if every micro-batch were full."""
        self._start()

    def _start(self) -> None:
        self.began = time.perf_counter()
        self.waited = 0.0
        self.steps = 0
        self.stats: Tensor | float = 0
        self.counts: dict[str, float] = {}

    def add(self, stats: Tensor, counts: dict[str, float], waited: float) -> None:
        """stats: of this rank; counts: of all ranks."""
        self.stats = self.stats + stats
        self.waited += waited
        self.steps += 1
        for name, value in counts.items():
            self.counts[name] = self.counts.get(name, 0.0) + value

    def close(self, ranks: Ranks) -> dict[str, float]:
        """Figures over all ranks; call on all of them. Starts the next window."""
        assert isinstance(self.stats, torch.Tensor)
        sums = ranks.sum(self.stats.double().flatten().tolist())
        seconds = time.perf_counter() - self.began
        values = []
        for i, name in enumerate(self.weights):
            values += [sums[2 * i], sums[2 * i + 1], self.counts[objectives.COUNTED_BY[name]]]
        figures = summarise(list(self.weights), values, self.weights)
        figures |= {
            "samples_per_second": self.counts["samples"] / seconds,
            "tokens_per_second": self.counts["all_tokens"] / seconds,
            "data_wait_share": self.waited / seconds,
            "packing_efficiency": self.counts["all_tokens"] / (self.steps * self.tokens_full),
        }
        self._start()
        return figures
