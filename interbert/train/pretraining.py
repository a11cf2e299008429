"""A pretraining run, put together: settings and data in, a trained and exported model out."""

import logging
import traceback
from dataclasses import dataclass
from typing import Any

import yaml

from interbert.batches.plan import Plan
from interbert.config import Settings, SettingsError
from interbert.corpus.corpus import Corpus
from interbert.files import write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.ranks.ending import EXIT_CODES, again_after, describe_error
from interbert.ranks.stop import StopRequest
from interbert.tokenizer import Tokenizer
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import export, export_adapter
from interbert.train.checkpoints.identity import compare_identity, describe_identity
from interbert.train.checkpoints.probe import check_probe, probe_loss
from interbert.train.engine.deepspeed_config import EngineConfig, with_batch
from interbert.train.engine.engine import Engine
from interbert.train.engine.graphs import capture_layers
from interbert.train.engine.kernel_choice import agree_on_kernels
from interbert.train.folder.resume import begin
from interbert.train.folder.run_folder import RunFolder, describe_environment
from interbert.train.folder.watchdog import Watchdog
from interbert.train.loop import Progress, Training, train
from interbert.train.monitor.monitor import Monitor
from interbert.train.monitor.pictures import PairPicture
from interbert.train.monitor.profiling import StepProfiler
from interbert.train.monitor.validation import Validation
from interbert.train.start.class_head import class_head_of
from interbert.train.start.feed import build_loader, validation_batches
from interbert.train.start.planned import RunData, build_plan, open_data
from interbert.train.start.settle import (
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    tokens_of,
    warnings_of,
)
from interbert.train.start.starting import build_model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the command line asks for, resolved."""

    settings: Settings
    engine: EngineConfig
    folder: RunFolder
    resume: str
    last_step: int
    profile: tuple[int, int] | None
    stop: StopRequest


def pretrain(request: Request, ranks: Ranks) -> int:
    """Runs, and leaves an honest status.json whatever happens; returns the exit code."""
    stop = request.stop
    stop.watch_launcher(ranks.launcher)
    watchdog = Watchdog(request.folder, ranks.rank, request.settings.train)
    progress, again = Progress(), None
    try:
        run, tokenizer = _prepare(request, ranks, progress, stop, watchdog)
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
            with watchdog.phase("export"), run.engine.averaged():
                export(run.engine, tokenizer, request.folder.export, ranks)
                if request.settings.train.lora:
                    export_adapter(run.engine, request.folder.adapter, ranks)
    except Exception as error:
        state, (reason, again) = "failed", describe_error(error)
        if not isinstance(error, ValueError):
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
) -> tuple[Training, Tokenizer]:
    settings, folder = request.settings, request.folder
    data = open_data(settings, ranks)
    corpus, tokenizer = data.corpus, data.tokenizer
    _check_validation(corpus, settings)
    identity = describe_identity(settings, corpus, tokenizer, request.engine)
    found = ranks.main_only(lambda: begin(folder, request.resume, log.warning))
    path, state = found.checkpoint, found.state
    if path is not None:
        compare_identity(path, state["identity"], identity, settings.data.allow_changed)
        progress.take_up(state)
    settings, config = _settled(request, state, data, ranks)
    ranks.main_only(lambda: checkpoint.set_aside(folder.checkpoints, after=progress.step if path else -1))
    if ranks.is_main:
        _write_description(folder, settings, config, ranks)
    model = build_model(settings, corpus, tokenizer, config)
    agree_on_kernels(model.config, config.precision, ranks)
    engine = Engine(model, settings, config)
    two = 2 * checkpoint.size_of(engine.deepspeed)
    ranks.main_only(lambda: checkpoint.check_space(folder.path, two, "a run, which keeps two checkpoints,"))
    if path is not None:
        checkpoint.load(engine.deepspeed, path, state)
        check_probe(probe_loss(engine, ranks), state["probe"], config.precision, str(path))
    elif settings.train.export_initial:
        export(engine, tokenizer, folder.initial, ranks)
    plan = build_plan(settings, data, ranks)
    if settings.train.cuda_graphs:
        capture_layers(model, settings, config, plan.capacities)
    loader = build_loader(settings, data, plan, ranks, progress.position)
    validation = build_validation(settings, tokenizer)
    monitor = Monitor(folder, settings, progress.step, request.last_step) if ranks.is_main else None
    if monitor:
        begun = f"resumed from {path}" if path else "started"
        monitor.say(f"{begun}: {describe_run(model, settings, data, plan, config, ranks)}")
        epoch, on_gpu = plan.epoch(0).micro_batches, ranks.device.type == "cuda"
        for warning in warnings_of(settings, ranks.world_size, on_gpu, data.lengths, epoch):
            monitor.say(f"note: {warning}")
    own = path is not None and path.resolve().parent == folder.checkpoints.resolve()
    run = Training(
        settings=settings,
        engine=engine,
        loader=loader,
        validation=validation,
        folder=folder,
        ranks=ranks,
        monitor=monitor,
        stop=stop,
        watchdog=watchdog,
        profiler=StepProfiler(request.profile, folder.profile, ranks.rank),
        progress=progress,
        class_head=class_head_of(corpus, settings),
        last_step=request.last_step,
        identity=identity,
        resumed_step=progress.step if own else None,
        saved_step=progress.step if own else -1,
    )
    return run, tokenizer


def build_validation(settings: Settings, tokenizer: Tokenizer) -> Validation | None:
    if not settings.data.validation:
        return None
    return Validation(validation_batches(settings, tokenizer), PairPicture(settings, tokenizer))


def _check_validation(corpus: Corpus, settings: Settings) -> None:
    """Now, not at the first validation, hours later."""
    if not settings.data.validation:
        return
    with Corpus(settings.data.validation) as held_out:
        for field in ("feature_width", "classes", "evidence"):
            ours, theirs = getattr(corpus, field), getattr(held_out, field)
            if ours != theirs:
                raise SettingsError(
                    f"data.validation ({', '.join(settings.data.validation)}) has {field} {theirs}, but data.train "
                    f"({', '.join(settings.data.train)}) {ours}; take a split of the same features"
                )


def _settled(
    request: Request, state: dict[str, Any], data: RunData, ranks: Ranks
) -> tuple[Settings, EngineConfig]:
    """How large a step is: as in the checkpoint that is gone on from, or decided now."""
    settings = request.settings
    if state:
        step = settled_in(state)
    else:
        tokens = ranks.share(tokens_of(ranks.device))  # devices may differ
        step = settings.step or settle(settings, ranks.world_size, tokens, data.lengths)
    settings = settings.model_copy(update={"step": step})
    accumulation = share_of_ranks(settings, ranks.world_size, kept=bool(state))
    return settings, with_batch(request.engine, settings, accumulation)


def _write_description(folder: RunFolder, settings: Settings, config: EngineConfig, ranks: Ranks) -> None:
    write_text(folder.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    described = describe_environment(ranks.launcher, ranks.world_size, ranks.device)
    write_json(folder.environment, described | {"deepspeed_config": config.tree})


def describe_run(
    model, settings: Settings, data: RunData, plan: Plan, config: EngineConfig, ranks: Ranks
) -> str:
    millions = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters()) / 1e6
    return (
        f"{settings.name}, {millions:.1f}M parameters, {data.corpus.captions} pairs of {data.corpus.images} images, "
        f"{ranks.world_size} rank(s) by {ranks.launcher} on {ranks.device.type}, ZeRO-{config.stage} "
        f"{config.precision}; {describe_batch(settings, data.lengths)}; a micro-batch holds "
        f"{plan.capacities.describe()}"
    )
