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
        self.steps = [m.new_zeros(()) for m in self.masters]
        # On a CPU one buffer for all gradients in fp32, a parameter at a time: it stays in the cache. On a GPU all
        # parameters at once, for the sake of few launches.
        on_gpu = self.masters[0].is_cuda
        sizes = [m.numel() for m in self.masters]
        self.buffer = self.masters[0].new_empty(sum(sizes) if on_gpu else max(sizes))
        self.at_once = len(sizes) if on_gpu else 1

    @torch.no_grad()
    def step(self) -> None:
        norms = torch._foreach_norm([p.grad for p in self.parameters])
        norm = torch.linalg.vector_norm(torch.stack(norms).float())
        divisor = (norm / CLIP).clamp(min=1.0)
        for first in range(0, len(self.parameters), self.at_once):
            self._update(slice(first, first + self.at_once), divisor)

    def _update(self, which: slice, divisor: Tensor) -> None:
        parameters, masters, steps = self.parameters[which], self.masters[which], self.steps[which]
        gradients = [p.grad for p in parameters]
        apart = masters[0] is not parameters[0]
        if apart:
            parts = self.buffer[: sum(p.numel() for p in parameters)].split([p.numel() for p in parameters])
            gradients = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
            torch._foreach_copy_(gradients, [p.grad for p in parameters])
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            masters,
            gradients,
            [first for first, _ in self.moments[which]],
            [second for _, second in self.moments[which]],
            [],
            steps,
            lr=LEARNING_RATE,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.01,
            eps=1e-6,
            amsgrad=False,
            maximize=False,
            grad_scale=divisor,
        )
        if apart:
            torch._foreach_copy_(parameters, masters)
        for parameter in parameters:
            parameter.grad = None
