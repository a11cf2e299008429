"""What a run would do: settings, batch arithmetic, data headers. Nothing is trained; of files only data that a recipe
makes itself and what is cached beside the data are written, as the run would."""

import torch
import yaml

from interbert.config import Settings
from interbert.data.plan import Plan
from interbert.files import read_json
from interbert.train.checkpoint import list_checkpoints
from interbert.train.deepspeed_config import EngineConfig, with_batch
from interbert.train.distributed import Ranks
from interbert.train.feed import RunData, build_plan, open_data, tokenizer_folder
from interbert.train.pretraining import build_model
from interbert.train.run_folder import RunFolder
from interbert.train.scale import Machine, describe_scale
from interbert.train.settle import (
    CPU_TOKENS,
    GPU_TOKENS,
    describe_batch,
    settle,
    settled_in,
    share_of_ranks,
    warnings_of,
)


def describe_dry_run(
    settings: Settings,
    engine: EngineConfig,
    folder: RunFolder,
    last_step: int,
    machine: Machine,
    ranks: Ranks,
) -> str:
    data, train, on_gpu = open_data(settings, ranks), settings.train, machine.device == "cuda"
    corpus, newest = data.corpus, list_checkpoints(folder.checkpoints)[-1:]
    if newest:
        step = settled_in(read_json(newest[0] / "state.json"))
    else:
        tokens = GPU_TOKENS if on_gpu else CPU_TOKENS
        step = settings.step or settle(settings, machine.ranks, tokens, data.lengths)
    settings = settings.model_copy(update={"step": step})
    engine = with_batch(engine, settings, share_of_ranks(settings, machine.ranks, kept=bool(newest)))
    plan = build_plan(settings, data, ranks)
    epoch = plan.epoch(0).micro_batches
    steps = epoch / step.micro_batches
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
        f"schedule   {train.schedule_steps} steps, about {train.schedule_steps / max(steps, 1e-9):.2f} epochs "
        f"of {steps:.1f} steps; stops at step {last_step}",
        f"run        {folder.path}" + (f", goes on from {newest[0].name}" if newest else ""),
    ]
    warned = warnings_of(settings, machine.ranks, on_gpu, data.lengths, epoch)
    lines += [f"note       {warning}" for warning in warned]
    parameters, operations = work_of(settings, data, plan)
    lines += describe_scale(
        parameters, engine.precision, engine.accumulation, operations * engine.accumulation, machine
    )
    return "\n".join(lines)


def work_of(settings: Settings, data: RunData, plan: Plan) -> tuple[int, float]:
    """Parameters, and operations of a micro-batch: six for each weight that a token passes, and its heads' share.

    Attention's own products are left out: at these lengths they are a few per cent.
    """
    with torch.device("meta"):
        model = build_model(settings, data.corpus, data.tokenizer)
    sizes = plan.capacities
    rows = {"text": sizes.text, "image": sizes.regions, "joint": sizes.tokens, "cross": sizes.tokens / 2}
    weights = 0.0
    for stage in model.interbert.stages:
        weights += rows[stage.kind] * sum(p.numel() for p in stage.parameters())
    words = model.interbert.text_embeddings.words.weight.numel()
    weights += sizes.masked_tokens * words
    return sum(p.numel() for p in model.parameters()), 6 * weights
