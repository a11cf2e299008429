"""Averages of the weights (train.ema), kept as a third number beside the optimizer's two moments.

So each lies where its weight's fp32 numbers lie, in the same pieces, whatever the ZeRO stage; and is gathered, saved
and taken up again as the moments are.
"""

import torch
from torch import Tensor

from interbert.train.engine.optimizer_state import AVERAGE, ema_of


def share_kept(decay: float, steps: int) -> float:
    """What a step leaves of the average, after so many: less at first, when it knows little."""
    return min(decay, (1 + steps) / (10 + steps))


@torch.no_grad()
def follow(optimizer: torch.optim.Optimizer, bad: Tensor | None = None) -> None:
    """After each step that was taken, and none that was skipped. Without averages nothing is done.

    bad: where only the device knows whether the step was skipped: 1 if it was. The optimizer's own count of steps
    lies there, too.
    """
    decay, counts = ema_of(optimizer), optimizer.param_groups[0]
    if decay is None:
        return
    held = [
        (state[AVERAGE], weight.detach()) for weight, state in optimizer.state.items() if AVERAGE in state
    ]
    averages, weights = map(list, zip(*held, strict=True))
    if bad is None:
        counts["averaged"] = counts.get("averaged", 0) + 1
        torch._foreach_lerp_(averages, weights, 1 - share_kept(decay, counts["averaged"]))
        return
    steps = next(iter(optimizer.state.values()))["step"].double()
    kept = ((1 + steps) / (10 + steps)).clamp(max=decay)
    gaps = torch._foreach_sub(weights, averages)
    torch._foreach_mul_(gaps, ((1 - kept) * (1 - bad)).float())
    torch._foreach_add_(averages, gaps)
