"""Clipping and AdamW for the step benchmark, the same for every contender.

fp32: torch's fused AdamW. bf16: weights and gradients in bf16, master weights and moments in fp32, as engines
keep them. Clipping is folded into the update: the gradients are divided inside the fused kernel.
"""

import torch
from torch import Tensor, nn

LEARNING_RATE, CLIP = 1e-4, 1.0


class Optimizer:
    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.masters = [p if p.dtype == torch.float32 else p.detach().float() for p in self.parameters]
        self.moments = [(torch.zeros_like(m), torch.zeros_like(m)) for m in self.masters]
        self.steps = [torch.zeros(()) for _ in self.masters]
        largest = max(p.numel() for p in self.parameters)
        # One buffer for all gradients in fp32, a parameter at a time: it stays in the cache.
        self.buffer = torch.empty(largest)

    @torch.no_grad()
    def step(self) -> None:
        norms = torch._foreach_norm([p.grad for p in self.parameters])
        norm = torch.linalg.vector_norm(torch.stack(norms).float())
        divisor = (norm / CLIP).clamp(min=1.0)
        for parameter, master, moments, step in zip(
            self.parameters, self.masters, self.moments, self.steps, strict=True
        ):
            self._update(parameter, master, moments, step, divisor)
            parameter.grad = None

    def _update(
        self, parameter: Tensor, master: Tensor, moments: tuple[Tensor, Tensor], step: Tensor, divisor: Tensor
    ) -> None:
        gradient = parameter.grad
        if master is not parameter:
            gradient = self.buffer[: parameter.numel()].view_as(parameter).copy_(gradient)
        step += 1
        torch._fused_adamw_(
            [master],
            [gradient],
            [moments[0]],
            [moments[1]],
            [],
            [step],
            lr=LEARNING_RATE,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.01,
            eps=1e-6,
            amsgrad=False,
            maximize=False,
            grad_scale=divisor,
        )
        if master is not parameter:
            parameter.copy_(master)
