"""Ranks that are threads of the test's own process."""

import itertools
import threading

import torch

from interbert.ranks.distributed import Ranks


class Meeting:
    """Ranks that are threads."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier, self.values = size, threading.Barrier(size), [None] * size
        self.numbers, self.lock = itertools.count(), threading.Lock()

    def rank(self, number: int) -> Ranks:
        ranks = Ranks(number, self.size, number, torch.device("cpu"), "test")

        def gather(value):
            self.values[number] = value
            self.barrier.wait(60)
            found = list(self.values)
            self.barrier.wait(60)
            return found

        def take() -> int:
            with self.lock:
                return next(self.numbers)

        ranks.gather, ranks.share, ranks.counter = gather, lambda value: gather(value)[0], lambda: take
        return ranks

    def run(self, work) -> list:
        results = [None] * self.size

        def one(number: int) -> None:
            try:
                results[number] = work(self.rank(number))
            except Exception as error:
                results[number] = error

        threads = [threading.Thread(target=one, args=(number,)) for number in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
