"""CUDA graphs of the encoder's layers, for steps so short that launching kernels takes longer than running them."""

import logging

import torch

from interbert.batches.capacities import Capacities
from interbert.config import Settings, SettingsError
from interbert.kernels.attend.attention import fused_unusable
from interbert.model import InterBertForPreTraining
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.fixed_stage import FixedStage, StageCapacity

log = logging.getLogger(__name__)


def capture_layers(
    model: InterBertForPreTraining, settings: Settings, config: EngineConfig, capacities: Capacities
) -> None:
    """From here on, training replays each stage's forward and backward. After the engine has placed the weights."""
    check_capturable(model, config)
    parameter = next(model.parameters())
    for number, capacity in stage_capacities(model, settings, capacities).items():
        stage = model.interbert.stages[number]
        sample = torch.empty(
            1, 3, stage[0].heads, stage[0].head_width, device=parameter.device, dtype=parameter.dtype
        )
        reason = fused_unusable(sample.requires_grad_(), capacity.longest)
        if reason:  # other kernels leave rows that belong to nobody undefined
            raise SettingsError(
                f"train.cuda_graphs needs fused attention: {reason}; set train.cuda_graphs=false"
            )
        fixed = FixedStage(stage, capacity).train()
        fixed.captured(model.config.hidden_size, parameter.device, parameter.dtype).take_over()
        log.info("CUDA graphs: %s layers at %d rows of %d pairs", stage.kind, capacity.rows, capacity.pairs)


def check_capturable(model: InterBertForPreTraining, config: EngineConfig) -> None:
    if config.stage == 3:
        raise SettingsError(
            f"train.cuda_graphs is on, and {config.path} has ZeRO stage 3, which gathers weights for each layer; "
            "take stage 2 or lower, or set train.cuda_graphs=false"
        )
    if next(model.parameters()).device.type != "cuda":
        raise SettingsError(
            "train.cuda_graphs is on, but training runs on a CPU; set train.cuda_graphs=false"
        )
    if any(stage.kind == "cross" for stage in model.interbert.stages):
        raise SettingsError("train.cuda_graphs is not made for co-attention; set train.cuda_graphs=false")


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
