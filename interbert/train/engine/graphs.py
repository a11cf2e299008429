"""CUDA graphs of the encoder's layers, for steps so short that launching kernels takes longer than running them."""

import logging

import torch

from interbert.batches.capacities import Capacities
from interbert.config import Settings, SettingsError
from interbert.kernels.attend.attention import fused_unusable
from interbert.model import InterBertForPreTraining
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.fixed_stage import FixedStage, StageCapacity, own_gradients
from interbert.train.start.settle import LAUNCH_BOUND

log = logging.getLogger(__name__)


def capture_layers(
    model: InterBertForPreTraining, settings: Settings, config: EngineConfig, capacities: Capacities
) -> None:
    """Where train.cuda_graphs asks for it, training replays each stage's forward and backward from here on. After the
    engine has placed the weights."""
    asked, parameter = settings.train.cuda_graphs, next(model.parameters())
    if asked is False:
        return
    reason = why_not(model, settings, config, capacities)
    if asked is True and reason:
        raise SettingsError(f"train.cuda_graphs is on, and {reason}; set train.cuda_graphs=false")
    if asked == "auto" and not reason and not launch_bound(capacities.tokens, model.config.hidden_size):
        reason = f"micro-batches of {capacities.tokens:,} tokens are work enough for a GPU"
    if reason:
        if parameter.device.type == "cuda":
            log.info("CUDA graphs: not taken, %s", reason)
        return
    for number, capacity in stage_capacities(model, settings, capacities).items():
        stage = model.interbert.stages[number]
        fixed = FixedStage(stage, capacity).train()
        try:
            replayed = fixed.captured(model.config.hidden_size, parameter.device, parameter.dtype)
        except RuntimeError as error:  # for want of memory, too
            if asked is True:
                raise
            log.warning("CUDA graphs: %s layers are launched one by one (%s)", stage.kind, error)
            continue
        if config.stage > 0:  # at stage 0 gradients are moved away before the next replay
            own_gradients(stage)
        replayed.take_over()
        log.info("CUDA graphs: %s layers at %d rows of %d pairs", stage.kind, capacity.rows, capacity.pairs)


def launch_bound(tokens: int, hidden_size: int) -> bool:
    """Whether a GPU does the layers of such a micro-batch faster than its host asks for them. The one rule of
    train.cuda_graphs=auto: less work a layer than so many tokens are at the width of `base`."""
    return tokens * hidden_size**2 < LAUNCH_BOUND * 768**2


def why_not(
    model: InterBertForPreTraining, settings: Settings, config: EngineConfig, capacities: Capacities
) -> str | None:
    """What keeps the layers from being captured."""
    parameter = next(model.parameters())
    if parameter.device.type != "cuda":
        return "training runs on a CPU"
    if config.stage == 3:
        return f"{config.path} has ZeRO stage 3, which gathers weights for each layer: take stage 2 or lower"
    if any(stage.kind == "cross" for stage in model.interbert.stages):
        return "it is not made for co-attention"
    if settings.train.recompute:
        return "train.recompute is another way to run the layers"
    if settings.train.lora:
        return "it is not made for adapters"
    for number, capacity in stage_capacities(model, settings, capacities).items():
        stage = model.interbert.stages[number]
        sample = torch.empty(
            1, 3, stage[0].heads, stage[0].head_width, device=parameter.device, dtype=parameter.dtype
        )
        reason = fused_unusable(sample.requires_grad_(), capacity.longest)
        if reason:  # other kernels leave rows that belong to nobody undefined
            return f"it needs fused attention: {reason}"
    return None


def stage_capacities(
    model: InterBertForPreTraining, settings: Settings, capacities: Capacities
) -> dict[int, StageCapacity]:
    """By the stage's number: the most rows and pairs that a micro-batch brings it, and the longest pair."""
    added = int(model.config.global_token != "none")
    text, regions = settings.data.max_text_tokens, settings.data.max_regions + added
    joint_rows = capacities.tokens if added else capacities.text + capacities.regions
    by_kind = {
        "text": StageCapacity(capacities.text, capacities.pairs, text),
        "image": StageCapacity(capacities.regions + added * capacities.pairs, capacities.pairs, regions),
        "joint": StageCapacity(joint_rows, capacities.pairs, text + regions),
    }
    return {number: by_kind[stage.kind] for number, stage in enumerate(model.interbert.stages)}
