"""A pretraining run, put together: settings and data in, a trained and exported model out."""

import logging
import traceback
from dataclasses import dataclass

import yaml

from interbert import objectives
from interbert.config import Settings, SettingsError
from interbert.data.corpus import Corpus
from interbert.data.plan import Plan
from interbert.files import write_json, write_text
from interbert.hub import local_folder
from interbert.model.configuration import InterBertConfig, preset
from interbert.model.convert import load_bert
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import load_ours
from interbert.tokenizer import Tokenizer, load_tokenizer
from interbert.train import checkpoint
from interbert.train.class_head import class_head_of
from interbert.train.deepspeed_config import EngineConfig
from interbert.train.distributed import Ranks
from interbert.train.engine import Engine
from interbert.train.export import export
from interbert.train.feed import build_loader, build_plan, fill_caches, tokenizer_folder, validation_batches
from interbert.train.graphs import capture_layers
from interbert.train.identity import compare_identity, describe_identity
from interbert.train.kernel_choice import agree_on_kernels
from interbert.train.loop import Progress, Training, train
from interbert.train.monitor import Monitor
from interbert.train.pictures import PairPicture
from interbert.train.probe import check_probe, probe_loss
from interbert.train.profiling import StepProfiler
from interbert.train.run_folder import EXIT_CODES, RunFolder, describe_environment
from interbert.train.stop import StopRequest
from interbert.train.validation import Validation
from interbert.train.watchdog import Watchdog

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What the command line asks for, resolved."""

    settings: Settings
    engine: EngineConfig
    folder: RunFolder
    resume: str
    max_steps: int | None
    profile: tuple[int, int] | None
    stop: StopRequest

    @property
    def last_step(self) -> int:
        scheduled = self.settings.train.schedule_steps
        return min(scheduled, self.max_steps) if self.max_steps else scheduled


def pretrain(request: Request, ranks: Ranks) -> int:
    """Runs, and leaves an honest status.json whatever happens; returns the exit code."""
    stop = request.stop
    stop.watch_launcher(ranks.launcher)
    watchdog = Watchdog(request.folder, ranks.rank, request.settings.train)
    progress = Progress()
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
            with watchdog.phase("export"):
                export(run.engine, tokenizer, request.folder.export, ranks)
    except Exception as error:
        state, reason = "failed", f"{type(error).__name__}: {error}"
        if not isinstance(error, ValueError):
            traceback.print_exc()
    except KeyboardInterrupt:
        state, reason = "failed", "interrupted a second time, before it had saved"
    watchdog.close()
    if state == "failed":  # whichever rank it was: rank 0 may only ever see it killed
        reason = request.folder.write_failure(ranks.rank, progress.step, reason)
    elif ranks.is_main:
        request.folder.write_status(state, progress.step, reason)
    if ranks.is_main or state == "failed":
        print(f"{state}: {reason} ({request.folder.path})", flush=True)
    return EXIT_CODES[state]


def _prepare(
    request: Request, ranks: Ranks, progress: Progress, stop: StopRequest, watchdog: Watchdog
) -> tuple[Training, Tokenizer]:
    settings, folder = request.settings, request.folder
    corpus = Corpus(settings.data.train)
    _check_validation(corpus, settings)
    tokenizer = load_tokenizer(tokenizer_folder(settings))
    identity = describe_identity(settings, corpus, tokenizer, request.engine)
    ranks.main_only(lambda: checkpoint.sweep(folder.checkpoints))
    found = ranks.main_only(lambda: checkpoint.find(request.resume, folder.checkpoints, log.warning))
    if found is None and request.resume == "latest":
        _refuse_foreign_folder(folder)
    if found is not None:
        path, state = found
        compare_identity(path, state.pop("identity"), identity, settings.data.allow_changed)
        saved = {name: state.pop(name) for name in ("engine", "probe")}
        for name, value in state.items():
            setattr(progress, name, value)
    ranks.main_only(lambda: checkpoint.set_aside(folder.checkpoints, after=progress.step if found else -1))
    if ranks.is_main:
        _write_description(request, ranks)
    model = build_model(settings, corpus, tokenizer)
    agree_on_kernels(model.config, request.engine.precision, ranks)
    engine = Engine(model, settings, request.engine)
    two = 2 * checkpoint.size_of(engine.deepspeed)
    ranks.main_only(lambda: checkpoint.check_space(folder.path, two, "a run, which keeps two checkpoints,"))
    if found is not None:
        checkpoint.load(engine.deepspeed, path, saved)
        found_loss = probe_loss(engine, ranks)
        check_probe(found_loss, saved["probe"], request.engine.precision, str(path))
    elif settings.train.export_initial:
        export(engine, tokenizer, folder.initial, ranks)
    ranks.main_only(lambda: fill_caches(settings, corpus, tokenizer))
    plan = build_plan(settings, corpus, tokenizer)
    if settings.train.cuda_graphs:
        capture_layers(model, settings, request.engine, plan.capacities)
    loader = build_loader(settings, corpus, tokenizer, plan, ranks, progress.position)
    validation = build_validation(settings, tokenizer)
    monitor = Monitor(folder, settings, progress.step, request.last_step) if ranks.is_main else None
    if monitor:
        begun = f"resumed from {path}" if found else "started"
        monitor.say(f"{begun}: {describe_run(model, corpus, plan, request, ranks)}")
    own = found is not None and path.resolve().parent == folder.checkpoints.resolve()
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


def build_model(settings: Settings, corpus: Corpus, tokenizer: Tokenizer) -> InterBertForPreTraining:
    """Fresh, from BERT, or from an InterBERT; fitting the data in either case."""
    wanted, seed = settings.model, settings.train.seed
    if wanted.inherit_from:
        return _inherited(settings, corpus, tokenizer)
    fields = {
        "vocab_size": tokenizer.vocab_size,
        "feature_width": corpus.feature_width,
        "classes": corpus.classes,
        **wanted.override,
    }
    matches = preset(wanted.preset, wanted.architecture).get("match_head", "fused") != "none"
    # Matching is what the export is used for first, whether it was trained on or not.
    heads = objectives.needs(list(settings.objectives)) | ({"match"} if matches else set())
    fields.setdefault("prediction_heads", sorted(heads))
    if wanted.bert:
        if wanted.architecture != "interbert":
            raise SettingsError(
                f"model.bert fills an interbert, but model.architecture is {wanted.architecture}; leave one out"
            )
        model, report = load_bert(local_folder(wanted.bert), seed, wanted.preset, **fields)
        log.info("%s", report)
        longest, places = settings.data.max_text_tokens, model.config.max_position_embeddings
        if longest > places:
            raise SettingsError(
                f"data.max_text_tokens is {longest}, but {wanted.bert} has {places} positions; lower it"
            )
        return model
    positions = max(512, settings.data.max_text_tokens)
    config = InterBertConfig.from_preset(
        wanted.preset, wanted.architecture, **{"max_position_embeddings": positions, **fields}
    )
    return InterBertForPreTraining.from_seed(config, seed)


def _inherited(settings: Settings, corpus: Corpus, tokenizer: Tokenizer) -> InterBertForPreTraining:
    where = settings.model.inherit_from
    if settings.model.override:
        raise SettingsError(
            f"model.inherit_from takes the model of {where} as it is, but model.override changes "
            f"{', '.join(settings.model.override)}; leave one of them out"
        )
    model = load_ours(where)
    _must_fit(where, "vocab_size", model.config.vocab_size, tokenizer.vocab_size)
    _must_fit(where, "feature_width", model.config.feature_width, corpus.feature_width)
    heads = objectives.needs(list(settings.objectives))
    if "regions" in heads:
        _must_fit(where, "classes", model.config.classes, corpus.classes)
    lacking = sorted(heads - set(model.heads))
    if lacking:
        raise SettingsError(
            f"{where}: the model has no head {', '.join(lacking)}, which the objectives "
            f"{', '.join(settings.objectives)} need; take other objectives or other weights"
        )
    longest, places = settings.data.max_text_tokens, model.config.max_position_embeddings
    if longest > places:
        raise SettingsError(
            f"data.max_text_tokens is {longest}, but {where} has {places} positions; lower it"
        )
    return model


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


def _must_fit(where: str, field: str, model: int, data: int) -> None:
    if model != data:
        raise SettingsError(
            f"{where}: its {field} is {model}, the data's is {data}; take matching data or weights"
        )


def _refuse_foreign_folder(folder: RunFolder) -> None:
    status = folder.read_status()
    if status is not None and status["step"] > 0:
        raise SettingsError(
            f"{folder.path}: status.json speaks of step {status['step']}, but there is no checkpoint; "
            "give --resume none to start again there, or another --output-dir"
        )


def _write_description(request: Request, ranks: Ranks) -> None:
    write_text(
        request.folder.config, yaml.safe_dump(request.settings.model_dump(mode="json"), sort_keys=False)
    )
    described = describe_environment(ranks.launcher, ranks.world_size, ranks.device)
    write_json(request.folder.environment, described | {"deepspeed_config": request.engine.tree})


def describe_run(model, corpus: Corpus, plan: Plan, request: Request, ranks: Ranks) -> str:
    millions = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters()) / 1e6
    settings = request.settings
    return (
        f"{settings.name}, {millions:.1f}M parameters, {corpus.captions} pairs of {corpus.images} images, "
        f"{ranks.world_size} rank(s) by {ranks.launcher} on {ranks.device.type}, ZeRO-{request.engine.stage} "
        f"{request.engine.precision}, {settings.train.micro_batches} micro-batches a step, "
        f"{plan.capacities.describe()}"
    )
