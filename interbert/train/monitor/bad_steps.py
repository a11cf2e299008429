"""Steps whose numbers went bad: what they read, what they gave, and when there were too many."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interbert.batches.batch import Batch
from interbert.files import strict

if TYPE_CHECKING:
    from interbert.train.engine.engine import StepResult
    from interbert.train.loop import Training

PAIRS = 1000
"""Of a rank's pairs, so many at most are listed."""


@dataclass(frozen=True)
class Read:
    """Which pairs a micro-batch held: its own memory is used again before the step's numbers are known."""

    micro_batch: str
    images: np.ndarray
    captions: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> "Read":
        images, captions = (part.numpy().copy() for part in (batch.images_P, batch.captions_P))
        return cls(f"{batch.epoch}:{batch.index}", images, captions)


class Verdicts:
    """Of each step, once: as late as may be, for a device may decide it long after the host asked for the next."""

    def __init__(self, run: "Training") -> None:
        self._run = run
        self._open: tuple[int, list[Read], StepResult] | None = None

    def add(self, read: list[Read], result: "StepResult") -> None:
        """Of the step just asked for. The one before it is judged now."""
        self.settle()
        self._open = self._run.progress.step, read, result

    def settle(self) -> None:
        """All that was added, before anything is written that counts bad steps. On all ranks at once."""
        added, self._open = self._open, None
        if added is not None:
            _note(self._run, *added)


def _note(run: "Training", step: int, read: list[Read], result: "StepResult") -> None:
    """Counts a skipped step, and ends the run after too many in a row: alike on all ranks."""
    progress, limit = run.progress, run.settings.train.max_skipped
    progress.skipped_steps += result.skipped
    progress.skipped_in_a_row = progress.skipped_in_a_row + 1 if result.skipped else 0
    if not result.skipped:
        return
    told = run.ranks.gather(_describe(run, read, result))
    if run.monitor:
        record = {"step": step, "grad_norm": result.grad_norm, "ranks": told}
        with open(run.folder.bad_steps, "a") as file:
            file.write(json.dumps(strict(record)) + "\n")
        run.monitor.say(
            f"step {step} skipped: gradient norm {result.grad_norm}; "
            f"{progress.skipped_in_a_row} in a row; see {run.folder.bad_steps}"
        )
    if progress.skipped_in_a_row >= limit:
        raise ValueError(
            f"{limit} steps in a row had non-finite losses or gradients (train.max_skipped); their batches and "
            f"losses are in {run.folder.bad_steps}. Lower train.learning_rate or look at those pairs, then go on "
            "from the last checkpoint"
        )


def _describe(run: "Training", read: list[Read], result: "StepResult") -> dict:
    losses = {name: pair[0] for name, pair in zip(run.engine.terms, result.stats.tolist(), strict=True)}
    return {
        "rank": run.ranks.rank,
        "loss_sums": losses,
        "micro_batches": [one.micro_batch for one in read],
        "images": [image for one in read for image in one.images.tolist()][:PAIRS],
        "captions": [caption for one in read for caption in one.captions.tolist()][:PAIRS],
    }
