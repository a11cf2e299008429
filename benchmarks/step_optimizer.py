"""AdamW for the step benchmark: torch's own in fp32; over bf16 weights with fp32 masters, as engines keep them."""

import torch
from torch import Tensor, nn


class MasterAdamW:
    """bf16 weights and gradients; master weights and both moments in fp32."""

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float = 1e-4) -> None:
        self.parameters = parameters
        self.masters = [p.detach().float() for p in parameters]
        self.gradients = [torch.empty_like(m) for m in self.masters]
        for master, gradient in zip(self.masters, self.gradients, strict=True):
            master.grad = gradient
        self.adamw = torch.optim.AdamW(
            self.masters, lr=learning_rate, eps=1e-6, weight_decay=0.01, fused=True
        )

    @torch.no_grad()
    def step(self) -> None:
        torch._foreach_copy_(self.gradients, [p.grad for p in self.parameters])
        self.adamw.step()
        torch._foreach_copy_(self.parameters, self.masters)

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def make_optimizer(model: nn.Module, dtype: torch.dtype) -> "MasterAdamW | torch.optim.AdamW":
    parameters = list(model.parameters())
    if dtype == torch.bfloat16:
        return MasterAdamW(parameters)
    return torch.optim.AdamW(parameters, lr=1e-4, eps=1e-6, weight_decay=0.01, fused=True)


def clip(model: nn.Module) -> Tensor:
    return nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
