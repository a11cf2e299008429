"""A step's gradients, one after another in one fp32 buffer: summed over micro-batches and ranks, without hooks.

What a backward pass leaves is moved there by multi-tensor kernels, a handful for all parameters. Autograd then finds
no gradient when the next pass ends, and hands its own over instead of adding to one, tensor by tensor.
"""

from collections.abc import Callable
from itertools import accumulate
from math import prod

import torch
from torch import Tensor, nn

ALIGNED = 32
"""Numbers: kernels load several at once where each tensor begins at such a place."""


class FlatGradients:
    def __init__(self, parameters: list[nn.Parameter]) -> None:
        """All of one type and device."""
        self.parameters = parameters
        self.sum = torch.zeros(_room(parameters), device=parameters[0].device)
        self.views = _views(self.sum, parameters)
        """Of each parameter, in its shape."""
        self._taken = 0
        self._wire: Tensor | None = None

    @torch.no_grad()
    def take(self) -> None:
        """Adds what a backward pass left, and takes it from the parameters; who has none counts as zero."""
        held = [number for number, parameter in enumerate(self.parameters) if parameter.grad is not None]
        gradients = [self.parameters[number].grad for number in held]
        whole = len(held) == len(self.parameters)
        if self._taken == 0:
            if not whole:
                self.sum.zero_()
            torch._foreach_copy_([self.views[number] for number in held], gradients)
        elif self.parameters[0].dtype == self.sum.dtype:
            torch._foreach_add_([self.views[number] for number in held], gradients)
        else:  # the kernels that add have one type
            wire = self._in_their_type()
            if not whole:
                wire.zero_()
            places = _views(wire, self.parameters)
            torch._foreach_copy_([places[number] for number in held], gradients)
            self.sum.add_(wire)
        self._taken += 1
        for parameter in self.parameters:
            parameter.grad = None

    def reduce(self, mean: Callable[[Tensor], None]) -> None:
        """mean: makes a tensor, in its place, the ranks' mean of it. What they send each other has the parameters'
        type."""
        wire = self._in_their_type()
        if wire is not self.sum:
            wire.copy_(self.sum)
        mean(wire)
        if wire is not self.sum:
            self.sum.copy_(wire)

    def begin(self) -> None:
        """The next step: what is taken first replaces what is here."""
        self._taken = 0

    def _in_their_type(self) -> Tensor:
        """As much room in the parameters' own type."""
        if self._wire is None:
            same = self.parameters[0].dtype == self.sum.dtype
            self._wire = self.sum if same else torch.zeros_like(self.sum, dtype=self.parameters[0].dtype)
        return self._wire


def _room(parameters: list[nn.Parameter]) -> int:
    return sum(_padded(parameter) for parameter in parameters)


def _padded(parameter: nn.Parameter) -> int:
    return -(-parameter.numel() // ALIGNED) * ALIGNED


def _views(flat: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    starts = accumulate((_padded(parameter) for parameter in parameters), initial=0)
    return [
        flat[start : start + prod(parameter.shape)].view(parameter.shape)
        for start, parameter in zip(starts, parameters, strict=False)
    ]
