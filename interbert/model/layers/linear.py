"""The linear layer of this model: torch's, with what may be ours left to our kernels where they serve."""

from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F

from interbert.kernels.cpu.laid_out import LaidOut, laid_out, serves
from interbert.kernels.linear import linear, passing_linear
from interbert.kernels.rows import gelu_product, serving
from interbert.kernels.rows.table import WIDEST_NORM


class Linear(nn.Linear):
    laid_out: LaidOut | None = None
    """Of a model that is only asked (`lay_out`)."""

    # What comes out depends on what is asked for.
    def forward(self, x_NI: Tensor, gelu: bool = False, way: str = "whole"):
        """way: whole; product, without the bias; passing, with x as `passing_linear` gives it."""
        if way == "passing":
            return passing_linear(x_NI, self.weight, self.bias, gelu)
        if way == "product":
            return F.linear(x_NI, self.weight)
        if self.laid_out is not None and serves(x_NI):
            return self.laid_out(x_NI, gelu)
        return linear(x_NI, self.weight, self.bias, gelu)


def lay_out(model: nn.Module) -> None:
    """From here on its weights must not change: products read copies of them, on a CPU in fp32; elsewhere nothing is
    done."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.laid_out = laid_out(layer.weight, layer.bias)


def activated(layer: nn.Module, x_NI: Tensor) -> Tensor:
    """GELU of a linear layer: in one product, unless something stands around it (an adapter adds to its output)."""
    return layer(x_NI, gelu=True) if isinstance(layer, Linear) else F.gelu(layer(x_NI))


def passing(layer: nn.Module, x_NI: Tensor, gelu: bool = False) -> tuple[Tensor, Tensor]:
    """A linear layer, or GELU of one, and its input for a residual whose norm is ours: the two gradients of the input
    then meet in the product, and are not added in a pass of their own."""
    whole_chunks = not gelu or (isinstance(layer, Linear) and layer.weight.shape[0] % 8 == 0)
    if whole_chunks and _served(layer, x_NI) and x_NI.shape[1] <= WIDEST_NORM:
        return layer(x_NI, gelu, "passing")
    return activated(layer, x_NI) if gelu else layer(x_NI), x_NI


def apart(layer: nn.Module, x_NI: Tensor) -> tuple[Tensor, Tensor | None]:
    """A linear layer's product, and its bias where it is left to the norm that comes next."""
    if _served(layer, x_NI) and layer.bias.shape[0] <= WIDEST_NORM:
        return layer(x_NI, way="product"), layer.bias
    return layer(x_NI), None


def feed_forward(up: nn.Module, down: nn.Module, x_NH: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Two layers with GELU between them: the second one's product and bias as `apart` gives them, and the first one's
    input as `passing` does. Where it serves, GELU is a part of the two products."""
    if _served(up, x_NH) and _served(down, x_NH) and x_NH.shape[1] <= WIDEST_NORM:
        given = x_NH, up.weight, up.bias, down.weight
        if serving.serves_feed_forward(*given):
            product_NH, x_NH = gelu_product.feed_forward(*given)
            return product_NH, down.bias, x_NH
    wide_NI, x_NH = passing(up, x_NH, gelu=True)
    return *apart(down, wide_NI), x_NH


def _served(layer: nn.Module, x_NI: Tensor) -> TypeGuard[Linear]:
    """Whether what stands around this layer is ours. Whoever hooks a layer is to see what it takes and gives."""
    return (
        isinstance(layer, Linear)
        and not _hooked(layer)
        and serving.is_whole(layer.weight)
        and serving.serves(x_NI, layer.weight, layer.bias)
    )


def _hooked(layer: nn.Module) -> bool:
    hooks = layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks
    return any(map(len, hooks))
