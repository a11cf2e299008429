"""A stage at a fixed shape: its rows are padded to a capacity, so that CUDA graphs can replay it.

Padding costs a copy and the layers' work on it; for that, hundreds of launches become one. Only the layers are
replayed: heads and losses work on masked words and regions, whose numbers differ with each micro-batch and lie far
below their capacities, so that a fixed shape would cost them a multiple of their work. Gradients leave the graph as
autograd's, so hooks on parameters (ZeRO's) fire as ever.
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interbert.kernels import attention
from interbert.model.layers.encoder import StageLayers
from interbert.model.packing.attention import WithinPairs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageCapacity:
    rows: int
    pairs: int
    longest: int


class FixedStage(nn.Module):
    """Tensors of one shape in, a tensor of one shape out."""

    def __init__(self, stage: StageLayers, capacity: StageCapacity) -> None:
        super().__init__()
        self.stage, self.capacity = stage, capacity
        self.layers = stage.forward
        """As it is before training runs it through here."""
        self._said = False

    def forward(self, x_NH: Tensor, cu: Tensor, order: Tensor) -> Tensor:
        """`order`: int32 [units]. Rows behind the last offset belong to nobody; what they become means nothing."""

        def attend(qkv_N3Hd: Tensor, dropout_p: float) -> Tensor:
            return attention(qkv_N3Hd, cu, self.capacity.longest, dropout_p, order=order)

        return self.layers(x_NH, attend)

    def captured(self, hidden_size: int, device: torch.device, dtype: torch.dtype) -> "FixedStage":
        """Itself, with forward and backward of training replayed from graphs."""
        capacity = self.capacity
        x_NH = torch.randn(capacity.rows, hidden_size, device=device, dtype=dtype, requires_grad=True)
        # As many tokens as there may be, in pairs as equal as may be: a trial run, whose result nobody sees.
        cu = torch.linspace(0, min(capacity.rows, capacity.pairs * capacity.longest), capacity.pairs + 1)
        order = torch.arange(capacity.pairs * self.heads, dtype=torch.int32, device=device)
        return torch.cuda.make_graphed_callables(self, (x_NH, cu.int().to(device), order))

    @property
    def heads(self) -> int:
        return self.stage[0].heads

    def take_over(self) -> None:
        """From here on training runs the stage through this one. Evaluation, and who asks what was attended to, sees
        the stage as it was; so does who runs it again before the backward pass of a replay, whose numbers another
        replay would overwrite."""
        waiting = False

        def passed(_: Tensor) -> None:
            nonlocal waiting
            waiting = False

        def forward(x_NH: Tensor, attend: WithinPairs) -> Tensor:
            nonlocal waiting
            trained = self.stage.training and torch.is_grad_enabled() and attend.maps is None
            if waiting or not trained or not self.holds(x_NH, attend.cu):
                return self.layers(x_NH, attend)
            y_NH = run_fixed(self, x_NH, attend.cu, attend.order(self.heads))
            waiting = True
            y_NH.register_hook(passed)
            return y_NH

        self.stage.forward = forward

    def holds(self, x_NH: Tensor, cu: Tensor) -> bool:
        """Whether so many rows of so many pairs fit in. The loader makes none that do not; a task may."""
        rows, pairs, capacity = x_NH.shape[0], cu.numel() - 1, self.capacity
        if rows <= capacity.rows and pairs <= capacity.pairs:
            return True
        if not self._said:
            self._said = True
            log.warning(
                "%d rows of %d pairs came to a stage that CUDA graphs hold at %d rows of %d pairs: launched one by "
                "one, as all that does not fit; raise data.text_capacity, data.region_capacity, data.pair_capacity",
                rows,
                pairs,
                capacity.rows,
                capacity.pairs,
            )
        return False


def own_gradients(module: nn.Module) -> None:
    """A graph leaves a gradient where its next replay leaves one, too. Autograd would keep that memory as `.grad`,
    and in the next of several micro-batches add it to itself."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.register_hook(torch.clone)


def run_fixed(fixed: FixedStage, x_NH: Tensor, cu: Tensor, order: Tensor | None) -> Tensor:
    """The stage on any number of rows and pairs within its capacity."""
    rows, pairs, capacity = x_NH.shape[0], cu.numel() - 1, fixed.capacity
    padded_NH = F.pad(x_NH, (0, 0, 0, capacity.rows - rows))
    padded_cu = torch.cat([cu, cu[-1:].expand(capacity.pairs - pairs)])
    units = pairs * fixed.heads
    all_units = torch.arange(capacity.pairs * fixed.heads, dtype=torch.int32, device=cu.device)
    if order is not None:  # the empty pairs come last in either case
        all_units[:units] = order
    return fixed(padded_NH, padded_cu, all_units)[:rows]
