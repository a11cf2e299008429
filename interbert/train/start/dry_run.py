"""What a run would do: settings, batch arithmetic, data headers. Nothing is trained; of files only data that a recipe
makes itself and what is cached beside the data are written, as the run would."""

from pathlib import Path

import yaml

from interbert.batches.endless import EndlessPlan
from interbert.corpus.corpus import Corpus
from interbert.files import read_json
from interbert.model.shape.size import Rows, operations, parameters
from interbert.train.engine.deepspeed_config import EngineConfig, with_batch
from interbert.train.engine.schedule import timed
from interbert.train.folder.run_folder import RunFolder
from interbert.train.start.judged import refuse_unjudged
from interbert.train.start.scale import Machine, describe_scale
from interbert.train.start.settle import (
    CPU_TOKENS,
    GPU_MEMORY,
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    tokens_within,
    warnings_of,
)
from interbert.train.task import Task


def describe_dry_run(
    task: Task, engine: EngineConfig, folder: RunFolder, last_step: int, resume: str, machine: Machine
) -> str:
    settings, on_gpu = task.settings, machine.device == "cuda"
    if not task.judged:
        refuse_unjudged(settings, task.judged_by)
    newest = checkpoints_of(folder, resume)[-1:]
    if newest:
        step = settled_in(read_json(newest[0] / "state.json"))
    else:
        shape, recompute = task.shape(), settings.train.recompute
        on_a_gpu = tokens_within(GPU_MEMORY, shape, engine.precision, recompute)
        tokens = on_a_gpu if on_gpu else CPU_TOKENS
        step = settings.step or settle(settings, machine.ranks, tokens, task.lengths)
    settings = settings.model_copy(update={"step": step})
    engine = with_batch(engine, settings, share_of_ranks(settings, machine.ranks, kept=bool(newest)))
    plan = task.sketch(settings)
    epoch = plan.make(0).micro_batches
    settings = timed(settings, epoch)
    device = f"cuda of {GPU_MEMORY / 1e9:.0f} GB" if on_gpu else "cpu"
    train, last_step = settings.train, min(last_step, settings.train.schedule_steps)
    lines = [
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip(),
        "",
        f"data       {data_of(task.corpus)}",
        f"learns     {task.described()}",
        f"words      vocabulary of {task.tokenizer.vocab_size} in {task.words}",
        f"engine     {engine.path}: ZeRO-{engine.stage}, {engine.precision}, for a {device}",
        f"batch      {describe_batch(settings, task.lengths)}",
        f"step       {step.micro_batches} micro-batches = {machine.ranks} ranks x {engine.accumulation} accumulated; "
        f"{plan.capacities.describe()}",
        f"schedule   {train.schedule_steps} steps, about {train.schedule_steps * step.micro_batches / epoch:.2f} "
        f"epochs of {epoch} micro-batches; stops at step {last_step}",
        f"run        {folder.path}" + (f", goes on from {newest[0].name}" if newest else ""),
    ]
    warned = warnings_of(settings, machine.ranks, on_gpu, task.lengths, epoch)
    lines += [f"note       {warning}" for warning in warned]
    weights, work = work_of(task, plan)
    accumulation = engine.accumulation
    averages = train.ema is not None
    lines += describe_scale(weights, engine.precision, accumulation, work * accumulation, machine, averages)
    return "\n".join(lines)


def data_of(corpus: Corpus | None) -> str:
    if corpus is None:
        return "no images"
    return (
        f"{corpus.images} images, {corpus.captions} captions, features {corpus.feature_width} wide, "
        f"{corpus.classes} classes ({corpus.evidence or 'no'} evidence), fingerprint {corpus.fingerprint}"
    )


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


def work_of(task: Task, plan: EndlessPlan) -> tuple[int, float]:
    """Parameters, and operations of a micro-batch."""
    shape, sizes = task.shape(), plan.capacities
    rows = Rows(sizes.text, sizes.regions, sizes.tokens, sizes.masked_tokens)
    return sum(parameters(shape).values()), operations(shape, rows)
