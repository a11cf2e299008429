"""Which optimizer stands between DeepSpeed's engine and the one that was chosen.

Each keeps weights, moments and the loss scale in a way of its own, so each is known by its class. One that is not
known here is refused: what is guessed about an optimizer is lost without a word when a run is taken up again.
"""

from enum import Enum, auto
from functools import cache

import torch

from interbert.train.engine.flat_optimizer import FlatOptimizer


class Wrapper(Enum):
    OWN = auto()
    """Ours, of all parameters whole: stage 0."""
    ACCUMULATED = auto()
    """A rank's piece of such a copy, with fp32 gradients: bf16 with data_types.grad_accum_dtype fp32, at stage 1."""
    SHARDS = auto()
    """A rank's piece of such a copy: stages 1 and 2."""
    PARTITIONS = auto()
    """A rank's piece of each parameter: stage 3."""


def wrapper_of(engine) -> Wrapper:
    kind = type(engine.optimizer)
    if kind not in _known():
        raise ValueError(
            f"DeepSpeed made a {kind.__name__} of this config, whose numbers interbert cannot save; known are "
            f"{', '.join(sorted(known.__name__ for known in _known()))}. Remove what asks for it (zenflow, "
            "super_offload) from zero_optimization"
        )
    return _known()[kind]


def own_optimizer(engine) -> torch.optim.Optimizer:
    """The one that interbert chose, inside."""
    wrapper_of(engine)  # which refuses one that is not known
    return engine.optimizer.optimizer


@cache
def _known() -> dict[type, Wrapper]:
    from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    return {
        FlatOptimizer: Wrapper.OWN,
        BF16_Optimizer: Wrapper.ACCUMULATED,
        DeepSpeedZeroOptimizer: Wrapper.SHARDS,
        DeepSpeedZeroOptimizer_Stage3: Wrapper.PARTITIONS,
    }
