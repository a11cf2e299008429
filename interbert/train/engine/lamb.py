"""LAMB (You et al., 2020) for whole tensors: Adam's step, rescaled by each tensor's own trust ratio.

Groups with `adapt: False` (biases and norms) take Adam's step as it is.
"""

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    def __init__(
        self, params, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), gradient = group["betas"], parameter.grad
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        update = (mean / (1 - beta1 ** state["step"])).div_(root)
        if group["weight_decay"]:
            update.add_(parameter, alpha=group["weight_decay"])
        if not group.get("adapt", True):
            parameter.sub_(update.mul_(group["lr"]))
            return
        weight_norm, update_norm = parameter.norm(), update.norm()
        usable = (weight_norm > 0) & (update_norm > 0)
        trust = torch.where(usable, weight_norm / update_norm, torch.ones_like(weight_norm))
        parameter.sub_(update.mul_(trust * group["lr"]))
