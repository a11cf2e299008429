"""Which parameters learn how: decay groups, the rate of what came from BERT, the schedule, the optimizer."""

import logging

import torch
from torch import nn

from interbert.config import TrainSettings
from interbert.kernels.apex import apex_symbol
from interbert.train.engine.lamb import Lamb
from interbert.train.engine.whole_state import shape_of

log = logging.getLogger(__name__)

NEVER = 1e30
"""A gradient norm that nothing reaches."""


def parameter_groups(model: nn.Module, inherited: list[str], settings: TrainSettings) -> list[dict]:
    """Four groups at most: {decayed matrices, biases and norms} x {from BERT, new}.

    `adapt` says whether LAMB takes a trust ratio: of matrices only, for a bias at zero would never leave it.
    `rate` is the group's factor on the learning rate. It lives in the group, so neither the number of devices
    nor a restart can lose it.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        from_bert = any(name == prefix or name.startswith(f"{prefix}.") for prefix in inherited)
        groups.setdefault((from_bert, len(shape_of(parameter)) >= 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "adapt": decayed,
            "rate": settings.inherited_rate if from_bert else 1.0,
            "lr": settings.learning_rate,
        }
        for (from_bert, decayed), parameters in sorted(groups.items())
    ]


def build_optimizer(
    groups: list[dict], settings: TrainSettings, stage: int, offload: bool
) -> torch.optim.Optimizer:
    """apex's where it is right: not on weights that lie on the host, and not at stage 3, which steps through pieces
    of a group one by one, each of which apex's optimizers would count as a step."""
    common = {"lr": settings.learning_rate, "betas": settings.betas, "eps": settings.epsilon}
    name = {"adamw": "FusedAdam", "lamb": "FusedLAMB"}[settings.optimizer]
    fused = apex_symbol(name) if torch.cuda.is_available() and stage < 3 and not offload else None
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


def schedule(step: int, settings: TrainSettings) -> float:
    """Factor on the learning rate of the step after `step` finished ones: linear warm-up, then linear decay to 0."""
    warmup = round(settings.warmup_share * settings.schedule_steps)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (settings.schedule_steps - step) / max(1, settings.schedule_steps - warmup))


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, settings: TrainSettings) -> float:
    """The rate is a function of the step, so that nothing of a scheduler has to be saved."""
    rate = settings.learning_rate * schedule(step, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
    return rate
