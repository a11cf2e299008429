"""The linear layer of this model: torch's, with the product left to our kernels where they serve."""

from torch import Tensor, nn
from torch.nn import functional as F

from interbert.kernels.linear import linear


class Linear(nn.Linear):
    def forward(self, x_NI: Tensor, gelu: bool = False) -> Tensor:
        return linear(x_NI, self.weight, self.bias, gelu)


def activated(layer: nn.Module, x_NI: Tensor) -> Tensor:
    """GELU of a linear layer: in one product, unless something stands around it (an adapter adds to its output)."""
    return layer(x_NI, gelu=True) if isinstance(layer, Linear) else F.gelu(layer(x_NI))
