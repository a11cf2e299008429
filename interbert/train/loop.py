"""The training loop: one page, an optimizer step at a time."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from interbert.batches.batch import COUNTS, Batch
from interbert.batches.endless import Position
from interbert.batches.loader import Loader, StepData
from interbert.config import Settings
from interbert.ranks.begun_sum import begin_sum
from interbert.ranks.distributed import Ranks
from interbert.ranks.ending import State
from interbert.ranks.stop import StopRequest
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.probe import probe_loss
from interbert.train.engine.engine import Engine
from interbert.train.engine.optimizer import set_learning_rate
from interbert.train.engine.upload import Upload
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.watchdog import Watchdog
from interbert.train.monitor.bad_steps import Read, Verdicts
from interbert.train.monitor.monitor import Monitor, memory_gigabytes
from interbert.train.monitor.profiling import StepProfiler
from interbert.train.monitor.window import Spike, Window
from interbert.train.monitor.work_clock import WorkClock
from interbert.train.task import Judge, Task


@dataclass
class Progress:
    """Where a run stands, after whole steps. All of it lies in a checkpoint's state.json."""

    step: int = 0
    epoch: int = 0
    index: int = 0
    """Number of the next micro-batch within its epoch."""
    samples: int = 0
    tokens: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    damaged: int = 0
    """Pairs left out because their image could not be had."""
    best_figure: float | None = None
    """Of validation, the best so far."""
    best_step: int | None = None
    stale: int = 0
    """Rounds of validation since then."""

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.index)

    def take_up(self, state: dict[str, Any]) -> None:
        """Where a checkpoint's state says that the run stood."""
        if "best_loss" in state:  # as it was called when nothing else was compared
            state = state | {"best_figure": state["best_loss"]}
        for own in fields(self):
            setattr(self, own.name, state.get(own.name, own.default))


@dataclass
class Training:
    settings: Settings
    task: Task
    engine: Engine
    loader: Loader
    judge: Judge | None
    probe: Batch
    folder: RunFolder
    ranks: Ranks
    monitor: Monitor | None
    """On rank 0."""
    stop: StopRequest
    watchdog: Watchdog
    profiler: StepProfiler
    progress: Progress
    last_step: int
    epoch_steps: float
    """Steps of an epoch, a fraction included."""
    identity: dict[str, Any]
    """What must be the same when the run is taken up again."""
    resumed_step: int | None
    """Step of the checkpoint that the run went on from."""
    saved_step: int
    """Step of the newest checkpoint."""
    clock: WorkClock = field(default_factory=WorkClock)


@dataclass
class Fetched:
    """A step of this rank: read, on its way to the device, and its counts on their way among the ranks."""

    arriving: Iterator[Batch]
    numbers: list[int]
    position: Position
    """Where the plan stands after it."""
    read: list[Read]
    damaged: list[str]
    agreed: Callable[[], tuple[dict[str, float], bool]]
    """Global counts, and whether any rank was asked to stop."""


def train(run: Training) -> tuple[State, str]:
    """Trains up to `last_step`; returns how it ended and why. Each step is decided alike on all ranks."""
    settings, progress, ranks, every = run.settings, run.progress, run.ranks, run.settings.train
    window = Window(run.engine.terms, settings.token_budget * settings.micro_batches, run.clock)
    steps, upload, verdicts = iter(run.loader), Upload(ranks.device, run.task.finisher()), Verdicts(run)

    def due(interval: int) -> bool:
        return progress.step % interval == 0 or progress.step == run.last_step

    run.profiler.step(progress.step)
    step = fetch(run, steps, upload, window) if progress.step < run.last_step and not exhausted(run) else None
    while step:
        counts, stopping = step.agreed()
        if counts["damaged"] or stopping:
            verdicts.settle()  # for the run may end here
        leave_out(run, step.damaged, int(counts["damaged"]))
        if stopping:
            save(run)
            return "preempted", f"asked to stop ({why_stopped(run)})"

        rate = set_learning_rate(run.engine.deepspeed.optimizer, progress.step, every, run.epoch_steps)
        scales = run.engine.scales(counts)
        stats = run.engine.accumulate(step.arriving, step.numbers, progress.step, scales)
        # Now, so that the ranks have agreed on the next step when this one is done.
        following = fetch(run, steps, upload, window) if progress.step + 1 < run.last_step else None
        result = run.engine.update(stats)

        read = f"epoch {progress.epoch}, micro-batches from {progress.index}"
        progress.step += 1
        progress.epoch, progress.index = step.position.epoch, step.position.index
        progress.samples += int(counts["samples"])
        progress.tokens += int(counts["all_tokens"])
        verdicts.add(step.read, result)
        window.add(progress.step, read, result.stats, counts)
        run.profiler.step(progress.step)
        run.watchdog.step(progress.step)

        if any(
            map(due, (every.log_every, every.validate_every, every.picture_every, every.checkpoint_every))
        ):
            verdicts.settle()
        if due(every.log_every):
            figures = window.close(ranks) | {"lr": rate, "grad_norm": result.grad_norm}
            log_line(run, figures, window.remaining(run.last_step - progress.step))
            tell_spikes(run, window.spikes)
        if run.judge and due(every.validate_every):
            validate(run)
        if run.judge and due(every.picture_every):
            draw(run)
        if due(every.checkpoint_every):
            save(run)
        if exhausted(run):
            save(run)
            break
        step = following
    if exhausted(run):
        why = f"step {progress.step}: {progress.stale} rounds of validation brought nothing better"
        return "finished", why
    return "finished", f"reached step {progress.step} of {settings.train.schedule_steps}"


def fetch(run: Training, steps: Iterator[StepData], upload: Upload, window: Window) -> Fetched:
    """The next step. What the last one was read into is used again from here on."""
    upload.wait()
    with window.waiting():
        data = next(steps)
    if run.monitor and run.monitor.unheard:
        run.stop.ask("nobody reads its output any more")
    return Fetched(
        agreed=agree(run.ranks, data.batches, bool(run.stop.asked())),
        arriving=upload(data.batches),
        numbers=data.numbers,
        position=data.position,
        read=[Read.of(batch) for batch in data.batches],
        damaged=[text for batch in data.batches for text in batch.damaged],
    )


def agree(ranks: Ranks, batches: list[Batch], stop: bool) -> Callable[[], tuple[dict[str, float], bool]]:
    """Begins the step's one all-reduce: global counts, and whether any rank was asked to stop."""
    sums = dict.fromkeys((*COUNTS, "samples", "all_tokens", "damaged"), 0)
    for batch in batches:
        for name, count in batch.counts().items():
            sums[name] += count
        sums["samples"] += batch.pairs
        sums["damaged"] += len(batch.damaged)
        sums["all_tokens"] += batch.tokens
    begun = begin_sum([*sums.values(), float(stop)], ranks)

    def agreed() -> tuple[dict[str, float], bool]:
        *totals, stopping = begun()
        return dict(zip(sums, totals, strict=True)), stopping > 0

    return agreed


def leave_out(run: Training, own: list[str], damaged: int) -> None:
    """Names the step's damaged images, and ends the run where there were more than allowed: alike on all ranks."""
    if not damaged:
        return
    told = [text for texts in run.ranks.gather(own) for text in texts]
    run.progress.damaged += damaged
    if run.monitor:
        for text in dict.fromkeys(told):
            run.monitor.say(f"step {run.progress.step + 1}: left out: {text}")
    allowed = run.settings.data.skip_damaged
    if run.progress.damaged > allowed:
        raise ValueError(
            f"{run.progress.damaged} pairs with damaged images, more than data.skip_damaged ({allowed}) allows; the "
            f"last one: {told[-1]}"
        )


def why_stopped(run: Training) -> str:
    """What the ranks that were asked say; the file that asked is removed."""
    reasons = run.ranks.gather(run.stop.asked())
    run.ranks.main_only(run.stop.done)
    return run.stop.obey(reasons)


def log_line(run: Training, figures: dict[str, float], remaining: float) -> None:
    progress = run.progress
    figures |= {
        "epoch": progress.epoch,
        "samples": progress.samples,
        "tokens": progress.tokens,
        "skipped_steps": progress.skipped_steps,
        "damaged": progress.damaged,
        "memory_gb": memory_gigabytes(run.ranks.device),
    }
    if run.monitor:
        run.monitor.log(progress.step, figures, remaining)


def tell_spikes(run: Training, spikes: list[Spike]) -> None:
    for spike in spikes if run.monitor else ():
        run.monitor.say(
            f"step {spike.step}: loss {spike.loss:.4g}, where {spike.usual:.4g} was usual; it read {spike.read}"
        )


@contextmanager
def apart(run: Training, phase: str) -> Iterator[None]:
    """What is not training: the watchdog gives it a time of its own, and no speed counts it."""
    with run.watchdog.phase(phase), run.clock.stopped():
        yield


def validate(run: Training) -> None:
    with apart(run, "validation"), run.engine.averaged():
        figures = run.judge.figures(run.engine, run.ranks)
    if run.monitor:
        run.monitor.validation(
            run.progress.step, {f"validation/{name}": value for name, value in figures.items()}
        )
    progress, better = run.progress, is_better(run, figures)
    progress.stale = 0 if better else progress.stale + 1
    if better:
        progress.best_step = progress.step
        save(run)


def is_better(run: Training, figures: dict[str, float]) -> bool:
    """Whether this round of validation is the best so far, which is then kept in mind."""
    asked, best = run.settings.train.best, run.progress.best_figure
    found = figures.get(asked or run.judge.figure, math.nan)  # none is left where all images are damaged
    larger = run.judge.larger if asked in (None, run.judge.figure) else not re.search("loss|error", asked)
    if not math.isfinite(found) or (best is not None and not (found > best if larger else found < best)):
        return False
    run.progress.best_figure = found
    return True


def exhausted(run: Training) -> bool:
    """Whether validation has brought nothing better for long enough."""
    limit = run.settings.train.stop_after
    return limit is not None and run.progress.stale >= limit


def draw(run: Training) -> None:
    with apart(run, "picture"):
        image = run.judge.picture(run.engine, run.ranks)
    if run.monitor and image is not None:
        run.monitor.picture(run.progress.step, image)


def save(run: Training) -> None:
    """A checkpoint of this step, if it is not there yet."""
    if run.saved_step == run.progress.step:
        return
    with apart(run, "save"):
        probe = probe_loss(run.engine, run.probe, run.ranks)
        if not math.isfinite(probe):  # alike on all ranks
            raise checkpoint.CheckpointError(
                f"step {run.progress.step} is not saved: the model gives a loss that is no number; go on from the "
                "last checkpoint with a lower train.learning_rate"
            )
        step = run.settings.step
        assert step is not None
        state = asdict(run.progress) | {
            "identity": run.identity,
            "probe": probe,
            "step_settings": step.model_dump(),
        }
        path = checkpoint.save(run.engine.deepspeed, run.folder.checkpoints, state, run.ranks)
        run.ranks.main_only(lambda: _after_save(run))
    run.saved_step = run.progress.step
    if run.monitor:
        run.monitor.say(f"step {run.progress.step} saved {path}")


def _after_save(run: Training) -> None:
    step, keep, best = run.progress.step, run.settings.train.keep_checkpoints, run.progress.best_step
    run.folder.write_saved(step)
    checkpoint.prune(run.folder.checkpoints, keep, best, run.resumed_step, run.monitor.say)
