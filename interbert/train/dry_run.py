"""What a run would do: settings, batch arithmetic, data headers. Nothing is trained; of files only data that a recipe
makes itself and what is cached beside the data are written, as the run would."""

import torch
import yaml

from interbert.data.corpus import Corpus
from interbert.data.plan import Plan
from interbert.tokenizer import Tokenizer, load_tokenizer
from interbert.train.distributed import Ranks
from interbert.train.feed import build_plan, fill_caches, tokenizer_folder
from interbert.train.pretraining import Request, build_model
from interbert.train.scale import Machine, describe_scale


def describe_dry_run(request: Request, ranks: Ranks, machine: Machine) -> str:
    settings, train = request.settings, request.settings.train
    corpus = Corpus(settings.data.train)
    tokenizer = load_tokenizer(tokenizer_folder(settings))
    ranks.main_only(lambda: fill_caches(settings, corpus, tokenizer))
    plan = build_plan(settings, corpus, tokenizer)
    steps = plan.epoch(0).micro_batches / train.micro_batches
    lines = [
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip(),
        "",
        f"data       {corpus.images} images, {corpus.captions} captions, features {corpus.feature_width} wide, "
        f"{corpus.classes} classes ({corpus.evidence or 'no'} evidence), fingerprint {corpus.fingerprint}",
        f"words      vocabulary of {tokenizer.vocab_size} in {tokenizer_folder(settings)}",
        f"engine     {request.engine.path}: ZeRO-{request.engine.stage}, {request.engine.precision}",
        f"step       {train.micro_batches} micro-batches = {machine.ranks} ranks x "
        f"{request.engine.accumulation} accumulated; {plan.capacities.describe()}",
        f"schedule   {train.schedule_steps} steps, about {train.schedule_steps / max(steps, 1e-9):.2f} epochs "
        f"of {steps:.1f} steps; stops at step {request.last_step}",
        f"run        {request.folder.path}",
    ]
    parameters, operations = work_of(request, corpus, tokenizer, plan)
    accumulation = request.engine.accumulation
    lines += describe_scale(
        parameters, request.engine.precision, accumulation, operations * accumulation, machine
    )
    return "\n".join(lines)


def work_of(request: Request, corpus: Corpus, tokenizer: Tokenizer, plan: Plan) -> tuple[int, float]:
    """Parameters, and operations of a micro-batch: six for each weight that a token passes, and its heads' share.

    Attention's own products are left out: at these lengths they are a few per cent.
    """
    with torch.device("meta"):
        model = build_model(request.settings, corpus, tokenizer)
    sizes = plan.capacities
    rows = {"text": sizes.text, "image": sizes.regions, "joint": sizes.tokens, "cross": sizes.tokens / 2}
    weights = 0.0
    for stage in model.interbert.stages:
        weights += rows[stage.kind] * sum(p.numel() for p in stage.parameters())
    words = model.interbert.text_embeddings.words.weight.numel()
    weights += sizes.masked_tokens * words
    return sum(p.numel() for p in model.parameters()), 6 * weights
