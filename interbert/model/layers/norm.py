"""LayerNorm, alone and with what precedes it in a layer; apex's fused one on CUDA where NVIDIA apex is installed."""

from torch import Tensor, nn

from interbert.kernels import add_norm
from interbert.kernels.apex import apex_symbol
from interbert.kernels.dropout import dropout_add


class LayerNorm(nn.LayerNorm):
    # What apex's FusedLayerNorm.forward reads besides nn.LayerNorm's own attributes.
    memory_efficient = False

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        fused = apex_symbol("FusedLayerNorm") if x.is_cuda else None
        return super().forward(x) if fused is None else fused.forward(self, x)


class AddNorm(LayerNorm):
    """LayerNorm(residual + dropout(x))"""

    def forward(self, x: Tensor, residual: Tensor, dropout: float) -> Tensor:
        if add_norm.serves(x, residual, self.weight, self.bias):
            return add_norm.add_norm(x, residual, self.weight, self.bias, self.eps, dropout)
        return super().forward(dropout_add(x, residual, dropout, training=True))
