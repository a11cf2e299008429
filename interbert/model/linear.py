"""The linear layer of this model: torch's, with the product left to our kernels where they serve."""

from torch import Tensor, nn

from interbert.kernels.linear import linear


class Linear(nn.Linear):
    def forward(self, x_NI: Tensor, gelu: bool = False) -> Tensor:
        return linear(x_NI, self.weight, self.bias, gelu)
