"""NVIDIA apex's optimizers in plain torch, for machines without it: the same arguments, groups and states.

What matters here is how they count. A group's `step` is 1 after its first step and grows by one with each, whatever
its tensors are; a tensor's state holds its two moments and no count, and is made when it is empty.
"""

import torch


class _Fused(torch.optim.Optimizer):
    def __init__(self, params, **defaults) -> None:
        super().__init__(params, {"bias_correction": True, **defaults})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            group["step"] = group["step"] + 1 if "step" in group else 1
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight, group) -> None:
        state, (beta1, beta2) = self.state[weight], group["betas"]
        if len(state) == 0:
            state["exp_avg"] = torch.zeros_like(weight.data).float()
            state["exp_avg_sq"] = torch.zeros_like(weight.data).float()
        mean = state["exp_avg"].lerp_(weight.grad, 1 - beta1) / (1 - beta1 ** group["step"])
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
        root = (square / (1 - beta2 ** group["step"])).sqrt_().add_(group["eps"])
        update = mean.div_(root).add_(weight, alpha=group["weight_decay"])
        weight.sub_(update, alpha=group["lr"] * self._trust(weight, update))

    def _trust(self, weight, update) -> float:
        return 1.0


class FusedAdam(_Fused):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


class FusedLAMB(_Fused):
    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, max_grad_norm=1.0
    ) -> None:
        own = {"grad_averaging": True, "max_grad_norm": max_grad_norm}
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **own)

    def _trust(self, weight, update) -> float:
        norms = float(weight.norm()), float(update.norm())
        return norms[0] / norms[1] if all(norms) else 1.0


TWINS = {"FusedAdam": FusedAdam, "FusedLAMB": FusedLAMB}
