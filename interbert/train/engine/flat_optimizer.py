"""The optimizer that DeepSpeed steps with at ZeRO stage 0: norm, clipping, update and averages without a wait.

DeepSpeed's own wrappers there ask the device about each tensor, and wait for each answer. Here the device decides by
itself whether a step's gradients are numbers; a step with bad ones changes nothing, and the host hears of it later.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from interbert.ranks.read_later import read_later
from interbert.train.engine.averages import follow
from interbert.train.engine.device_scale import DeviceScale
from interbert.train.engine.flat_gradients import FlatGradients

Masters = dict[nn.Parameter, nn.Parameter]
Told = Callable[[], tuple[float, bool]]
"""The gradients' norm, and whether the step was skipped."""


class FlatOptimizer(torch.optim.Optimizer):
    """Around an optimizer of fp32 numbers: the parameters themselves, or copies of 16-bit ones."""

    def __init__(self, inner: torch.optim.Optimizer, parameters: list[nn.Parameter], clip: float) -> None:
        """inner: of these parameters, in whatever groups; it is given their copies instead. Parameters lie where they
        will be trained."""
        self.masters: Masters = {p: _master_of(p) for p in parameters}
        for group in inner.param_groups:
            group["params"] = [self.masters[parameter] for parameter in group["params"]]
        super().__init__(inner.param_groups, {})
        self.state = inner.state
        self.optimizer, self.gradients, self.clip = inner, FlatGradients(parameters), clip
        self.scale: DeviceScale | None = None
        """fp16's."""
        self.mean_of_ranks: Callable[[Tensor], None] | None = None
        """Where there are several."""
        self.told: Told = _nothing_yet

    @torch.no_grad()
    def step(self, closure=None) -> None:
        assert closure is None
        gradients = self.gradients
        if self.mean_of_ranks is not None:
            gradients.reduce(self.mean_of_ranks)
        norm = nn.utils.get_total_norm(gradients.views)
        if self.scale is not None:
            norm = norm / self.scale.value
        bad = torch.isfinite(norm).logical_not().float()
        factor = (self.clip / (norm + 1e-6)).clamp(max=1.0)
        gradients.sum.mul_(factor if self.scale is None else factor / self.scale.value)
        self._update(bad)
        gradients.begin()
        if self.scale is not None:
            self.scale.follow(bad)
        verdict = read_later(torch.stack([norm, bad]), bad.device)
        self.told = lambda: (verdict()[0], verdict()[1] > 0)

    def _update(self, bad: Tensor) -> None:
        inner, gradients = self.optimizer, self.gradients
        decides_itself = isinstance(inner, torch.optim.AdamW)
        if decides_itself:
            inner.found_inf = bad
        elif bad.item():
            return
        for parameter, gradient in zip(gradients.parameters, gradients.views, strict=True):
            self.masters[parameter].grad = gradient
        inner.step()
        for master in self.masters.values():
            master.grad = None
        copied = [(p.detach(), master.detach()) for p, master in self.masters.items() if p is not master]
        if copied:
            torch._foreach_copy_(*map(list, zip(*copied, strict=True)))
        follow(inner, bad if decides_itself else None)


def _master_of(parameter: nn.Parameter) -> nn.Parameter:
    return parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())


def _nothing_yet() -> tuple[float, bool]:
    raise AssertionError("no step has been taken")
