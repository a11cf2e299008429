"""A run, put together: a task and settings in, a trained and exported model out."""

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from interbert.batches.endless import EndlessPlan
from interbert.config import Settings
from interbert.files import write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.ranks.ending import EXIT_CODES, again_after, describe_error
from interbert.ranks.stop import StopRequest
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import export, export_adapter
from interbert.train.checkpoints.identity import compare_identity, describe_identity
from interbert.train.checkpoints.probe import check_probe, probe_loss
from interbert.train.engine.deepspeed_config import EngineConfig, with_batch
from interbert.train.engine.engine import Engine
from interbert.train.engine.graphs import capture_layers
from interbert.train.engine.kernel_choice import agree_on_kernels
from interbert.train.engine.schedule import epoch_steps_of, timed
from interbert.train.folder.resume import begin
from interbert.train.folder.run_folder import RunFolder, describe_environment
from interbert.train.folder.watchdog import Watchdog
from interbert.train.loop import Progress, Training, train
from interbert.train.monitor.monitor import Monitor
from interbert.train.monitor.profiling import StepProfiler
from interbert.train.start.build import build_model
from interbert.train.start.settle import (
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    tokens_of,
    warnings_of,
)
from interbert.train.task import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the command line asks for, resolved."""

    settings: Settings
    open: Callable[[Settings, Ranks], Task]
    engine: EngineConfig
    folder: RunFolder
    resume: str
    last_step: int
    profile: tuple[int, int] | None
    stop: StopRequest


def run_task(request: Request, ranks: Ranks) -> int:
    """Runs, and leaves an honest status.json whatever happens; returns the exit code."""
    stop = request.stop
    stop.watch_launcher(ranks.launcher)
    watchdog = Watchdog(request.folder, ranks.rank, request.settings.train)
    progress, again = Progress(), None
    try:
        run = _prepare(request, ranks, progress, stop, watchdog)
        if ranks.is_main:
            request.folder.write_status("running", progress.step, "training")
        try:
            state, reason = train(run)
        finally:
            run.loader.close()
            run.profiler.close()
            if run.monitor:
                run.monitor.close()
        if state == "finished":
            with watchdog.phase("export"):
                leave(run)
    except Exception as error:
        state, (reason, again) = "failed", describe_error(error)
        if not isinstance(error, ValueError | BrokenPipeError):  # nobody reads on: that is no fault of ours
            traceback.print_exc()
    except KeyboardInterrupt:
        state, reason = "failed", "interrupted a second time, before it had saved"
    watchdog.close()
    if state == "failed":  # whichever rank it was: rank 0 may only ever see it killed
        reason = request.folder.write_failure(ranks.rank, progress.step, reason, again or "no")
    elif ranks.is_main:
        request.folder.write_status(state, progress.step, reason, again_after(state, stop.by_hand))
    if ranks.is_main or state == "failed":
        print(f"{state}: {reason} ({request.folder.path})", flush=True)
    return EXIT_CODES[state]


def _prepare(
    request: Request, ranks: Ranks, progress: Progress, stop: StopRequest, watchdog: Watchdog
) -> Training:
    settings, folder = request.settings, request.folder
    task = request.open(settings, ranks)
    identity = describe_identity(settings, task.fingerprints(), request.engine)
    found = ranks.main_only(lambda: begin(folder, request.resume, log.warning))
    path, state = found.checkpoint, found.state
    if path is not None:
        earlier = task.corpus.earlier_fingerprint if task.corpus else None
        compare_identity(path, state["identity"], identity, settings.data.allow_changed, earlier)
        progress.take_up(state)
    settings, config = _settled(request, state, task, ranks)
    plan = task.plan(settings, ranks)
    settings = timed(settings, plan.epoch(0).micro_batches)
    judge = task.judge(settings)  # which may refuse its data: now, not at the first validation, hours later
    ranks.main_only(lambda: checkpoint.set_aside(folder.checkpoints, after=progress.step if path else -1))
    if ranks.is_main:
        _write_description(folder, settings, config, ranks)
    model = build_model(task, config)
    agree_on_kernels(model.config, config.precision, ranks)
    last_step = min(request.last_step, settings.train.schedule_steps)
    engine = Engine(task.step(model), task.terms, settings, config)
    probe = task.probe(model.config)
    two = 2 * checkpoint.size_of(engine.deepspeed)
    ranks.main_only(lambda: checkpoint.check_space(folder.path, two, "a run, which keeps two checkpoints,"))
    if path is not None:
        checkpoint.load(engine.deepspeed, path, state)
        check_probe(probe_loss(engine, probe, ranks), state["probe"], config.precision, str(path))
    elif settings.train.export_initial:
        export(engine, task.tokenizer, folder.initial, ranks)
    if settings.train.cuda_graphs:
        capture_layers(model, settings, config, plan.capacities)
    loader = task.loader(settings, plan, ranks, progress.position)
    monitor = Monitor(folder, settings, progress.step, last_step) if ranks.is_main else None
    if monitor:
        begun = f"resumed from {path}" if path else "started"
        monitor.say(f"{begun}: {describe_run(model, settings, task, plan, config, ranks)}")
        epoch, on_gpu = plan.epoch(0).micro_batches, ranks.device.type == "cuda"
        for warning in warnings_of(settings, ranks.world_size, on_gpu, task.lengths, epoch):
            monitor.say(f"note: {warning}")
    own = path is not None and path.resolve().parent == folder.checkpoints.resolve()
    if not own:  # what was best elsewhere does not lie here
        progress.best_figure = progress.best_step = None
        progress.stale = 0
    return Training(
        settings=settings,
        task=task,
        engine=engine,
        loader=loader,
        judge=judge,
        probe=probe,
        folder=folder,
        ranks=ranks,
        monitor=monitor,
        stop=stop,
        watchdog=watchdog,
        profiler=StepProfiler(request.profile, folder.profile, ranks.rank),
        progress=progress,
        last_step=last_step,
        epoch_steps=epoch_steps_of(settings, plan.epoch(0).micro_batches),
        identity=identity,
        resumed_step=progress.step if own else None,
        saved_step=progress.step if own else -1,
    )


def leave(run: Training) -> None:
    """What a run that has come to its end leaves."""
    chosen, folder, ranks = choose_weights(run), run.folder, run.ranks
    with run.engine.averaged():
        export(run.engine, run.task.tokenizer, folder.export, ranks)
        if run.settings.train.lora:
            export_adapter(run.engine, folder.adapter, ranks)
        run.task.finish(run.engine, folder.path, chosen, ranks)


def choose_weights(run: Training) -> str:
    """Those that the run leaves, taken up by the engine; in words."""
    progress, ranks = run.progress, run.ranks
    best, last = progress.best_step, progress.step
    if run.settings.train.export == "last" or best is None:
        return f"step {last}, the last"
    if best != last:
        path = run.folder.checkpoints / f"step_{best}"
        state = ranks.main_only(lambda: _verified(path))
        if state is None:
            return f"step {last}, the last, for that of step {best}, the best, is damaged or gone"
        checkpoint.load(run.engine.deepspeed, path, state)
    figure = run.settings.train.best or run.judge.figure
    return f"step {best}, the best by {figure} ({progress.best_figure:.4g})"


def _verified(path: Path) -> dict[str, Any] | None:
    try:
        return checkpoint.verify(path)
    except checkpoint.CheckpointError as error:
        log.warning("%s", error)
        return None


def _settled(
    request: Request, state: dict[str, Any], task: Task, ranks: Ranks
) -> tuple[Settings, EngineConfig]:
    """How large a step is: as in the checkpoint that is gone on from, or decided now."""
    settings = request.settings
    if state:
        step = settled_in(state)
    else:
        tokens = ranks.share(tokens_of(ranks.device))  # devices may differ
        step = settings.step or settle(settings, ranks.world_size, tokens, task.lengths)
    settings = settings.model_copy(update={"step": step})
    accumulation = share_of_ranks(settings, ranks.world_size, kept=bool(state))
    return settings, with_batch(request.engine, settings, accumulation)


def _write_description(folder: RunFolder, settings: Settings, config: EngineConfig, ranks: Ranks) -> None:
    write_text(folder.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    described = describe_environment(ranks.launcher, ranks.world_size, ranks.device)
    write_json(folder.environment, described | {"deepspeed_config": config.tree})


def describe_run(
    model, settings: Settings, task: Task, plan: EndlessPlan, config: EngineConfig, ranks: Ranks
) -> str:
    millions = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters()) / 1e6
    return (
        f"{settings.name}, {millions:.1f}M parameters, {task.described()}, "
        f"{ranks.world_size} rank(s) by {ranks.launcher} on {ranks.device.type}, ZeRO-{config.stage} "
        f"{config.precision}; {describe_batch(settings, task.lengths)}; a micro-batch holds "
        f"{plan.capacities.describe()}"
    )
