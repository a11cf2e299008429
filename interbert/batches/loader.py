"""The micro-batches of one rank, prepared ahead by threads in memory that is used again and again."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from interbert.batches.batch import Batch
from interbert.batches.endless import EndlessPlan, Position, Rows
from interbert.batches.prepare import Preparer
from interbert.batches.slot import Slot
from interbert.config import Settings


@dataclass
class StepData:
    """What one rank gets of one optimizer step."""

    batches: list[Batch]
    """Valid until the next step is asked for: their memory is then used again."""
    numbers: list[int]
    """Number of each within the step, over all ranks."""
    position: Position
    """Where the plan stands after this step."""


@dataclass
class _Job:
    """A micro-batch that a thread prepares."""

    slot: Slot
    rows: Rows
    epoch: int
    index: int
    batch: Future[Batch]


@dataclass
class _Pending:
    jobs: list[_Job]
    numbers: list[int]
    position: Position


class Loader:
    """Iterates over optimizer steps from `start` on, endlessly.

    A step is the next `settings.micro_batches` of the plan; number i of them goes to rank i % world_size.
    Threads prepare whole micro-batches, at least one step ahead. What is loaded depends on neither ranks nor
    threads.
    """

    def __init__(
        self,
        preparer: Preparer,
        plan: EndlessPlan,
        settings: Settings,
        rank: int = 0,
        world_size: int = 1,
        start: Position = Position(),  # noqa: B008 (frozen)
    ) -> None:
        micro_batches = settings.micro_batches
        assert micro_batches % world_size == 0, "refused when the step was settled"
        self._plan = plan
        self._rank, self._world_size = rank, world_size
        self._micro_batches = micro_batches
        self._preparer = preparer
        self._position = start
        own, threads = micro_batches // world_size, settings.data.threads
        # Besides the step handed out: whole steps, at least one, with work for every thread and one to spare.
        self._ahead = -(-max(own, threads + 1) // own)
        pin = torch.cuda.is_available()
        self._free = [self._preparer.make_slot(pin) for _ in range(own * (1 + self._ahead))]
        self._handed_out: list[Slot] = []
        self._pending: deque[_Pending] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")

    def __iter__(self) -> Iterator[StepData]:
        return self

    def __next__(self) -> StepData:
        self._free += self._handed_out
        self._handed_out = []
        while self._free:
            self._submit()
        step = self._pending[0]
        batches = [self._result(job) for job in step.jobs]
        self._pending.popleft()
        self._handed_out = [job.slot for job in step.jobs]
        return StepData(batches, step.numbers, step.position)

    def _result(self, job: _Job) -> Batch:
        try:
            return job.batch.result()
        except Exception:  # whoever asks again gets this step, not the one after it
            job.batch = self._prepare(job.slot, job.rows, job.epoch, job.index)
            raise

    def _prepare(self, slot: Slot, rows: Rows, epoch: int, index: int) -> Future[Batch]:
        return self._pool.submit(self._preparer.prepare, slot, rows, epoch, index)

    def close(self) -> None:
        """Wait for what is under way and end the threads. Batches handed out stay valid."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._plan.close()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self) -> None:
        """Set the threads to work on the next step."""
        micro_batches = self._plan.step(self._position, self._micro_batches)
        self._position = self._plan.after(self._position, self._micro_batches)
        numbers = list(range(self._rank, self._micro_batches, self._world_size))
        jobs = []
        for number in numbers:
            epoch, index = micro_batches[number]
            rows, slot = self._plan.epoch(epoch).micro_batch(index), self._free.pop()
            jobs.append(_Job(slot, rows, epoch, index, self._prepare(slot, rows, epoch, index)))
        self._pending.append(_Pending(jobs, numbers, self._position))
