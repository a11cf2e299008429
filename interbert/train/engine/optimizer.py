"""Which parameters learn how: groups by decay and rate, and the optimizer of them."""

import logging

import torch
from torch import nn

from interbert.config import TrainSettings
from interbert.kernels.apex import apex_symbol
from interbert.model.shape.depth import depth_of
from interbert.train.engine.adapter_names import is_adapter
from interbert.train.engine.frozen import belongs
from interbert.train.engine.lamb import Lamb
from interbert.train.engine.schedule import schedule
from interbert.train.engine.whole_state import shape_of

log = logging.getLogger(__name__)

NEVER = 1e30
"""A gradient norm that nothing reaches."""


def parameter_groups(
    model: nn.Module, inherited: list[str], settings: TrainSettings, head: tuple[str, ...] = ()
) -> list[dict]:
    """Of what learns: {decayed matrices, biases and norms} x {from BERT, new} x {head, rest} x depth, where the
    settings tell these apart. head: names or dotted prefixes of the task's head.

    `adapt` says whether LAMB takes a trust ratio: of matrices only, for a bias at zero would never leave it.
    `rate` is the group's factor on the learning rate. It lives in the group, so neither the number of devices
    nor a restart can lose it. So does `ema`, which the optimizer's state is made by.
    """
    groups: dict[tuple[bool, bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        from_bert = belongs(name, inherited) and not is_adapter(name)
        of_head = settings.head_rate != 1 and belongs(name, head)
        depth = depth_of(name, model.config.encoder_stages) if settings.layer_decay != 1 else 0
        decayed = len(shape_of(parameter)) >= 2
        groups.setdefault((from_bert, of_head, depth, decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "adapt": decayed,
            "rate": (settings.inherited_rate if from_bert else 1.0)
            * (settings.head_rate if of_head else 1.0)
            * settings.layer_decay**depth,
            "lr": settings.learning_rate,
            "ema": settings.ema,
        }
        for (from_bert, of_head, depth, decayed), parameters in sorted(groups.items())
    ]


def build_optimizer(
    groups: list[dict], settings: TrainSettings, stage: int, offload: bool
) -> torch.optim.Optimizer:
    """apex's where it is right: not on weights that lie on the host, and not at stage 3, which steps through pieces
    of a group one by one, each of which apex's optimizers would count as a step. At stage 0 torch's AdamW is the one
    that can leave a step out on the device's own word."""
    common = {"lr": settings.learning_rate, "betas": settings.betas, "eps": settings.epsilon}
    name = {"adamw": "FusedAdam", "lamb": "FusedLAMB"}[settings.optimizer]
    right = settings.optimizer == "lamb" or stage in (1, 2)
    fused = apex_symbol(name) if torch.cuda.is_available() and right and not offload else None
    if fused is not None:
        if settings.optimizer == "lamb":
            common["max_grad_norm"] = NEVER  # it would clip by itself, a second time
        optimizer = fused(groups, weight_decay=settings.weight_decay, **common)
    elif settings.optimizer == "lamb":
        optimizer = Lamb(groups, weight_decay=settings.weight_decay, **common)
    else:  # on the host as fast as DeepSpeedCPUAdam, which takes minutes to compile
        optimizer = torch.optim.AdamW(groups, fused=True, **common)
    kind = type(optimizer)
    log.info("optimizer: %s of %s", kind.__name__, kind.__module__)
    return optimizer


def set_learning_rate(
    optimizer: torch.optim.Optimizer, step: int, settings: TrainSettings, epoch_steps: float | None = None
) -> float:
    """Of the step after `step` finished ones."""
    rate = settings.learning_rate * schedule(step, settings, epoch_steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
    return rate
