"""ZeRO stage 0: DeepSpeed runs the model and counts steps; precision, sums of gradients and the update are ours."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.device_scale import DeviceScale
from interbert.train.engine.flat_optimizer import FlatOptimizer
from interbert.train.start.build import DTYPES

OURS = ("bf16", "fp16", "data_types")
"""Sections of a config that are not DeepSpeed's to obey here."""


def deepspeeds_part(config: EngineConfig) -> dict[str, Any]:
    """Of the config. As to DeepSpeed, it trains in fp32."""
    tree = {name: section for name, section in config.tree.items() if name not in OURS}
    return {"communication_data_type": config.precision} | tree


def in_precision(model: nn.Module, config: EngineConfig) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[config.precision])


def flat_optimizer(
    inner: torch.optim.Optimizer, model: nn.Module, clip: float
) -> Callable[[Any], FlatOptimizer]:
    """What DeepSpeed calls once it has brought the model to its device, and all ranks to one model."""
    return lambda _: FlatOptimizer(inner, [p for p in model.parameters() if p.requires_grad], clip)


def join(engine: Any, config: EngineConfig) -> None:
    """From here on DeepSpeed leaves gradients as it finds them, and is asked for the ranks' mean at the update."""
    optimizer = engine.optimizer
    engine.enable_backward_allreduce = False
    if engine.dp_world_size > 1:
        optimizer.mean_of_ranks = lambda flat: engine.buffered_allreduce_fallback(grads=[flat])
    if config.precision == "fp16":
        optimizer.scale = DeviceScale(config.tree["fp16"], engine.device)
