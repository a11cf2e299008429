"""Whether GELU within products is the faster way on a GPU: held to torch's products with our GELU after them."""

import statistics

import torch
from torch import Tensor

from interbert.kernels.rows.gelu import bias_gelu, bias_gelu_backward
from interbert.kernels.rows.gelu_product import gelu_product, gelu_product_backward

ROWS, HIDDEN, INNER = 16_384, 768, 3072
ROUNDS = 15


def slower(device: torch.device) -> str | None:
    """Both passes of both ways, in turn; None where ours is the faster one."""
    apart, within = times(device)
    if within < apart:
        return None
    return f"slower than products and GELU apart: {1e6 * within:.0f} to {1e6 * apart:.0f} microseconds"


def times(device: torch.device, rows: int = ROWS) -> tuple[float, float]:
    """Seconds: apart, and one within the other."""

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    x, grad, weight, bias = make(rows, HIDDEN), make(rows, HIDDEN), make(INNER, HIDDEN), make(INNER)
    down = make(HIDDEN, INNER)
    before, (_, slope) = x @ weight.T, gelu_product(x, weight, bias, True)

    def apart() -> None:
        bias_gelu(x @ weight.T, bias)
        bias_gelu_backward(grad @ down, before, bias)

    def within() -> None:
        gelu_product(x, weight, bias, True)
        gelu_product_backward(grad, down.t().contiguous(), slope)

    seconds: dict = {apart: [], within: []}
    for _ in range(ROUNDS):
        for way, taken in seconds.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            way()
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds[apart]), statistics.median(seconds[within])
