"""LayerNorm, alone and with what stands around it: our own operations where they serve, apex's on CUDA where NVIDIA
apex is installed, torch's."""

from torch import Tensor, nn

from interbert.kernels import add_norm
from interbert.kernels.apex import apex_symbol
from interbert.kernels.dropout import dropout as drop
from interbert.kernels.dropout import dropout_add
from interbert.kernels.rows import norm as row_norm
from interbert.kernels.rows.serving import serves_norm


class LayerNorm(nn.LayerNorm):
    # What apex's FusedLayerNorm.forward reads besides nn.LayerNorm's own attributes.
    memory_efficient = False

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(width, eps=eps)

    def forward(self, x: Tensor, dropout: float = 0.0) -> Tensor:
        """Of rows; dropout of that, where a share is given."""
        if serves_norm(x, self.weight, self.bias):
            return row_norm.norm_drop([(x, None)], self.weight, self.bias, self.eps, dropout)
        fused = apex_symbol("FusedLayerNorm") if x.is_cuda else None
        y = super().forward(x) if fused is None else fused.forward(self, x)
        return drop(y, dropout, training=True)


class AddNorm(LayerNorm):
    """LayerNorm(residual + dropout(x + bias))"""

    # Another signature than the norm alone.
    def forward(
        self,
        x: Tensor,
        residual: Tensor,
        dropout: float,
        bias: Tensor | None = None,
        rng: Tensor | None = None,
        stream: int = 0,
    ) -> Tensor:
        """rng, stream: what rules the dropout on a GPU, as in `kernels/rows/norm.py`."""
        if serves_norm(x, self.weight, self.bias, residual, bias):
            given = self.weight, self.bias, self.eps, dropout, bias, rng, stream
            return row_norm.add_norm(x, residual, *given)
        x = x if bias is None else x + bias
        if add_norm.serves(x, residual, self.weight, self.bias):
            return add_norm.add_norm(x, residual, self.weight, self.bias, self.eps, dropout)
        return super().forward(dropout_add(x, residual, dropout, training=True))
