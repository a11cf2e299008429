"""What a run would do: settings, batch arithmetic, data headers. Nothing is trained; of files only data that a recipe
makes itself and what is cached beside the data are written, as the run would."""

from pathlib import Path

import yaml

from interbert.batches.plan import Plan
from interbert.config import Settings
from interbert.files import read_json
from interbert.model.size import Rows, operations, parameters
from interbert.ranks.distributed import Ranks
from interbert.tokenizer import glance_at_tokenizer
from interbert.train.engine.deepspeed_config import EngineConfig, with_batch
from interbert.train.folder.run_folder import RunFolder
from interbert.train.start.planned import RunData, open_data, plan_without_mining, tokenizer_folder
from interbert.train.start.scale import Machine, describe_scale
from interbert.train.start.settle import (
    CPU_TOKENS,
    GPU_TOKENS,
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    warnings_of,
)
from interbert.train.start.wanted_model import wanted_shape


def describe_dry_run(
    settings: Settings,
    engine: EngineConfig,
    folder: RunFolder,
    last_step: int,
    resume: str,
    machine: Machine,
    ranks: Ranks,
) -> str:
    data = open_data(settings, ranks, glance_at_tokenizer)
    corpus, train, on_gpu = data.corpus, settings.train, machine.device == "cuda"
    newest = checkpoints_of(folder, resume)[-1:]
    if newest:
        step = settled_in(read_json(newest[0] / "state.json"))
    else:
        tokens = GPU_TOKENS if on_gpu else CPU_TOKENS
        step = settings.step or settle(settings, machine.ranks, tokens, data.lengths)
    settings = settings.model_copy(update={"step": step})
    engine = with_batch(engine, settings, share_of_ranks(settings, machine.ranks, kept=bool(newest)))
    plan = plan_without_mining(settings, data)
    epoch = plan.make(0).micro_batches
    lines = [
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip(),
        "",
        f"data       {corpus.images} images, {corpus.captions} captions, features {corpus.feature_width} wide, "
        f"{corpus.classes} classes ({corpus.evidence or 'no'} evidence), fingerprint {corpus.fingerprint}",
        f"words      vocabulary of {data.tokenizer.vocab_size} in {tokenizer_folder(settings)}",
        f"engine     {engine.path}: ZeRO-{engine.stage}, {engine.precision}, for a {machine.device}",
        f"batch      {describe_batch(settings, data.lengths)}",
        f"step       {step.micro_batches} micro-batches = {machine.ranks} ranks x {engine.accumulation} accumulated; "
        f"{plan.capacities.describe()}",
        f"schedule   {train.schedule_steps} steps, about {train.schedule_steps * step.micro_batches / epoch:.2f} "
        f"epochs of {epoch} micro-batches; stops at step {last_step}",
        f"run        {folder.path}" + (f", goes on from {newest[0].name}" if newest else ""),
    ]
    warned = warnings_of(settings, machine.ranks, on_gpu, data.lengths, epoch)
    lines += [f"note       {warning}" for warning in warned]
    weights, work = work_of(settings, data, plan)
    accumulation = engine.accumulation
    averages = train.ema is not None
    lines += describe_scale(weights, engine.precision, accumulation, work * accumulation, machine, averages)
    return "\n".join(lines)


def checkpoints_of(folder: RunFolder, resume: str) -> list[Path]:
    """Those that the run could go on from; not verified, which takes its time."""
    if resume != "latest":
        return [] if resume == "none" else [Path(resume)]
    if not folder.checkpoints.is_dir():
        return []
    from interbert.train.checkpoints.checkpoint import (
        list_checkpoints,  # the seconds of torch, once they are needed
    )

    return list_checkpoints(folder.checkpoints)


def work_of(settings: Settings, data: RunData, plan: Plan) -> tuple[int, float]:
    """Parameters, and operations of a micro-batch."""
    shape, sizes = wanted_shape(settings, data.corpus, data.tokenizer), plan.capacities
    rows = Rows(sizes.text, sizes.regions, sizes.tokens, sizes.masked_tokens)
    return sum(parameters(shape).values()), operations(shape, rows)
