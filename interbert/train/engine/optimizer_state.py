"""How the optimizers that `build_optimizer` chooses from keep their moments and count their steps.

torch's AdamW and our Lamb count for each tensor, apex's optimizers once for a group. The count decides the bias
correction: lost, it begins again in the midst of training.
"""

import torch
from torch import Tensor

from interbert.kernels.apex import apex_symbol
from interbert.train.engine.lamb import Lamb

MOMENTS = ("exp_avg", "exp_avg_sq")
AVERAGE = "average"
"""Of the weights, where train.ema asks for it. The first group counts the steps that it has followed (`averaged`), as
the optimizer counts its own, but on the host, where reading it waits for no device."""


def counts_in_groups(optimizer: torch.optim.Optimizer) -> bool:
    kind = type(optimizer)
    if kind in (torch.optim.AdamW, Lamb):
        return False
    if kind in (apex_symbol("FusedAdam"), apex_symbol("FusedLAMB")):
        return True
    raise ValueError(f"interbert does not know how {kind.__module__}.{kind.__name__} counts its steps")


def state_of(optimizer: torch.optim.Optimizer, weight: Tensor) -> dict[str, Tensor]:
    """Of one tensor; before its first step, what that step would begin with: optimizers make all of it or nothing."""
    state = optimizer.state[weight]
    if not state:
        if not counts_in_groups(optimizer):
            own = isinstance(optimizer, Lamb)
            state["step"] = 0 if own else torch.zeros((), dtype=torch.float32, device=weight.device)
        state |= {key: torch.zeros_like(weight, requires_grad=False) for key in MOMENTS}
        if ema_of(optimizer) is not None:
            state[AVERAGE] = weight.detach().clone()
    return state


def ema_of(optimizer: torch.optim.Optimizer) -> float | None:
    return optimizer.param_groups[0].get("ema")


def steps_of(optimizer: torch.optim.Optimizer) -> int:
    places = optimizer.param_groups if counts_in_groups(optimizer) else optimizer.state.values()
    # A parameter that no objective reaches has no gradient, and takes no steps.
    return max((int(place["step"]) for place in places if "step" in place), default=0)


def set_steps(optimizer: torch.optim.Optimizer, steps: int) -> None:
    """For each tensor that has a state."""
    optimizer.param_groups[0]["averaged"] = steps
    if counts_in_groups(optimizer):
        for group in optimizer.param_groups:
            group["step"] = steps
        return
    for state in optimizer.state.values():
        whole = isinstance(state["step"], int)
        state["step"] = steps if whole else torch.full_like(state["step"], steps)
