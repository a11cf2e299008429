"""Whether GELU within products is the faster way on a GPU: held to torch's products with our GELU after them."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from interbert.kernels.rows.gelu import bias_gelu, bias_gelu_backward
from interbert.kernels.rows.gelu_product import gelu_product, gelu_product_backward

ROWS, HIDDEN, INNER = 16_384, 768, 3072
"""Of a large micro-batch at `base`."""


def slower(device: torch.device) -> str | None:
    """None where ours is the faster way, both passes together."""
    apart, within = map(sum, zip(*times(device, ROWS).values(), strict=True))
    if within < apart:
        return None
    return f"slower than products and GELU apart: {1e6 * within:.0f} to {1e6 * apart:.0f} microseconds"


def times(
    device: torch.device, rows: int, hidden: int = HIDDEN, inner: int = INNER, rounds: int = 15
) -> dict[str, tuple[float, float]]:
    """Seconds of each pass: apart, and GELU within the product. The ways take turns."""

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    x, grad, weight, bias, down = (
        *(make(rows, hidden), make(rows, hidden)),
        *(make(inner, hidden), make(inner), make(hidden, inner)),
    )
    before, (_, slope) = x @ weight.T, gelu_product(x, weight, bias, True)
    ways: dict[str, tuple[Callable, Callable]] = {
        "forward": (
            lambda: bias_gelu(x @ weight.T, bias),
            lambda: gelu_product(x, weight, bias, True),
        ),
        "backward": (
            lambda: bias_gelu_backward(grad @ down, before, bias),
            lambda: gelu_product_backward(grad, down, slope),
        ),
    }
    found = {}
    for direction, pair in ways.items():
        taken = [[_seconds(way, device) for way in pair] for _ in range(rounds + 2)][2:]
        apart, within = (statistics.median(way) for way in zip(*taken, strict=True))
        found[direction] = apart, within
    return found


def _seconds(way: Callable, device: torch.device) -> float:
    """Of the device, where there is one: the host's launches go on behind its back."""
    if device.type != "cuda":
        began = time.perf_counter()
        way()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(200_000)  # until all has been launched
    begin.record()
    way()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3
