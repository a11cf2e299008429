"""From a request to a run that is about to take its first step."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from interbert.batches.batch import Batch
from interbert.batches.endless import EndlessPlan
from interbert.config import Settings
from interbert.files import write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.ranks.stop import StopRequest
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import export
from interbert.train.checkpoints.identity import compare_identity, describe_identity
from interbert.train.checkpoints.probe import check_probe, probe_loss
from interbert.train.engine.deepspeed_config import EngineConfig, with_batch
from interbert.train.engine.engine import Engine
from interbert.train.engine.graphs import capture_layers
from interbert.train.engine.kernel_choice import agree_on_kernels
from interbert.train.engine.schedule import epoch_steps_of, timed
from interbert.train.folder.resume import Beginning, begin
from interbert.train.folder.run_folder import RunFolder, describe_environment
from interbert.train.folder.watchdog import Watchdog
from interbert.train.loop import Progress, Training
from interbert.train.monitor.monitor import Monitor
from interbert.train.monitor.profiling import StepProfiler
from interbert.train.start.build import build_model
from interbert.train.start.judged import refuse_other_figure, refuse_unjudged
from interbert.train.start.settle import (
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    tokens_of,
    warnings_of,
)
from interbert.train.task import Judge, Task

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


@dataclass(frozen=True)
class Meant:
    """A run before anything heavy is built: its data open, its step settled, and where it begins. Whatever can be
    refused without a model is refused on the way here."""

    task: Task
    settings: Settings
    config: EngineConfig
    plan: EndlessPlan
    judge: Judge | None
    identity: dict[str, Any]
    beginning: Beginning


def prepare(request: Request, ranks: Ranks, progress: Progress, watchdog: Watchdog) -> Training:
    """progress is brought to where the run goes on from."""
    folder, meant = request.folder, settle_request(request, ranks)
    settings, path = meant.settings, meant.beginning.checkpoint
    if path is not None:
        progress.take_up(meant.beginning.state)
    own = path is not None and path.resolve().parent == folder.checkpoints.resolve()
    ranks.main_only(lambda: _leave_behind(folder, progress.step, own))
    if ranks.is_main:
        _write_description(folder, settings, meant.config, ranks)
    engine, probe = build(meant, folder, ranks)
    last_step = min(request.last_step, settings.train.schedule_steps)
    loader = meant.task.loader(settings, meant.plan, ranks, progress.position)
    monitor = Monitor(folder, settings, progress.step, last_step) if ranks.is_main else None
    if monitor:
        _announce(monitor, meant, engine, ranks)
    if not own:  # what was best elsewhere does not lie here
        progress.best_figure = progress.best_step = None
        progress.stale = 0
    return Training(
        settings=settings,
        task=meant.task,
        engine=engine,
        loader=loader,
        judge=meant.judge,
        probe=probe,
        folder=folder,
        ranks=ranks,
        monitor=monitor,
        stop=request.stop,
        watchdog=watchdog,
        profiler=StepProfiler(request.profile, folder.profile, ranks.rank),
        progress=progress,
        last_step=last_step,
        epoch_steps=epoch_steps_of(settings, meant.plan.epoch(0).micro_batches),
        identity=meant.identity,
        resumed_step=progress.step if own else None,
        saved_step=progress.step if own else -1,
    )


def _leave_behind(folder: RunFolder, step: int, own: bool) -> None:
    """What lies here beyond the step is no longer this run's. own: its checkpoint lies here, too."""
    checkpoint.set_aside(folder.checkpoints, after=step if own else -1)
    folder.write_saved(step)


def settle_request(request: Request, ranks: Ranks) -> Meant:
    settings, folder = request.settings, request.folder
    task = request.open(settings, ranks)
    identity = describe_identity(settings, task.fingerprints(), request.engine)
    beginning = ranks.main_only(lambda: begin(folder, request.resume, log.warning))
    if beginning.checkpoint is not None:
        before, earlier = (
            beginning.state["identity"],
            task.corpus.earlier_fingerprint if task.corpus else None,
        )
        compare_identity(beginning.checkpoint, before, identity, settings.data.allow_changed, earlier)
    settings, config = _settled(request, beginning.state, task, ranks)
    plan = task.plan(settings, ranks)
    settings = timed(settings, plan.epoch(0).micro_batches)
    if not task.judged:
        refuse_unjudged(settings, task.judged_by)
    judge = task.judge(settings)  # which may refuse its data: now, not at the first validation, hours later
    if judge is not None:
        refuse_other_figure(settings, judge.names(task.terms))
    return Meant(task, settings, config, plan, judge, identity, beginning)


def build(meant: Meant, folder: RunFolder, ranks: Ranks) -> tuple[Engine, Batch]:
    """The engine with the weights that the run goes on from, and the probe that they were held to."""
    task, settings, config = meant.task, meant.settings, meant.config
    model = build_model(task, config)
    agree_on_kernels(model.config, config.precision, ranks)
    engine = Engine(task.step(model), task.terms, settings, config, task.head_parameters)
    probe = task.probe(model.config)
    two = 2 * checkpoint.size_of(engine.deepspeed)
    ranks.main_only(lambda: checkpoint.check_space(folder.path, two, "a run, which keeps two checkpoints,"))
    path, state = meant.beginning.checkpoint, meant.beginning.state
    if path is not None:
        checkpoint.load(engine.deepspeed, path, state)
        check_probe(probe_loss(engine, probe, ranks), state["probe"], config.precision, str(path))
    elif settings.train.export_initial:
        export(engine, task.tokenizer, folder.initial, ranks)
    capture_layers(model, settings, config, meant.plan.capacities)
    return engine, probe


def _settled(
    request: Request, state: dict[str, Any], task: Task, ranks: Ranks
) -> tuple[Settings, EngineConfig]:
    """How large a step is: as in the checkpoint that is gone on from, or decided now."""
    settings = request.settings
    if state:
        step = settled_in(state)
    else:
        own = tokens_of(ranks.device, task.shape(), request.engine.precision, settings.train.recompute)
        tokens = min(ranks.gather(own))  # devices may differ
        step = settings.step or settle(settings, ranks.world_size, tokens, task.lengths)
    settings = settings.model_copy(update={"step": step})
    accumulation = share_of_ranks(settings, ranks.world_size, kept=bool(state))
    return settings, with_batch(request.engine, settings, accumulation)


def _write_description(folder: RunFolder, settings: Settings, config: EngineConfig, ranks: Ranks) -> None:
    write_text(folder.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    described = describe_environment(ranks.launcher, ranks.world_size, ranks.device)
    write_json(folder.environment, described | {"deepspeed_config": config.tree})


def _announce(monitor: Monitor, meant: Meant, engine: Engine, ranks: Ranks) -> None:
    path, task, on_gpu = meant.beginning.checkpoint, meant.task, ranks.device.type == "cuda"
    begun = f"resumed from {path}" if path else "started"
    monitor.say(f"{begun}: {_described(meant, engine, ranks)}")
    epoch = meant.plan.epoch(0).micro_batches
    for warning in warnings_of(meant.settings, ranks.world_size, on_gpu, task.lengths, epoch):
        monitor.say(f"note: {warning}")


def _described(meant: Meant, engine: Engine, ranks: Ranks) -> str:
    settings, task, config = meant.settings, meant.task, meant.config
    millions = sum(getattr(p, "ds_numel", p.numel()) for p in engine.model.parameters()) / 1e6
    return (
        f"{settings.name}, {millions:.1f}M parameters, {task.described()}, "
        f"{ranks.world_size} rank(s) by {ranks.launcher} on {ranks.device.type}, ZeRO-{config.stage} "
        f"{config.precision}; {describe_batch(settings, task.lengths)}; a micro-batch holds "
        f"{meant.plan.capacities.describe()}"
    )
