"""LayerNorm; apex's fused one on CUDA where NVIDIA apex is installed."""

from torch import Tensor, nn

from interbert.kernels.apex import apex_symbol


class LayerNorm(nn.LayerNorm):
    # What apex's FusedLayerNorm.forward reads besides nn.LayerNorm's own attributes.
    memory_efficient = False

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        fused = apex_symbol("FusedLayerNorm") if x.is_cuda else None
        return super().forward(x) if fused is None else fused.forward(self, x)
