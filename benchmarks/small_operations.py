"""What stands between the matrix products of a step, forward and backward: is a kernel of our own worth writing?

    python benchmarks/small_operations.py --device cuda
    python benchmarks/small_operations.py --counts

Dropout + residual + LayerNorm, bias + GELU, and the KL over 1,601 classes, at the rows of a step of 512 pairs in
`base`: as torch's operations one by one, through torch.compile, with apex's FusedLayerNorm where it is installed, and
on a CPU with our kernels. The floor is the bytes that a fused kernel must move, at the rate of a copy measured in the
same run. With `--counts` nothing is measured: a layer's launches and bytes outside products and attention are
counted, by torch's operations and by ours, on any machine.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import layer_trace, report
from interbert.kernels import add_norm as own_add_norm
from interbert.kernels.apex import apex_symbol
from interbert.kernels.cpu import native
from interbert.kernels.dropout import dropout
from interbert.kernels.rows import gelu, losses, norm, serving

HIDDEN, WIDE, CLASSES, P, EPS = 768, 3072, 1601, 0.1, 1e-12
ROWS_A_PAIR, MASKED_A_PAIR = 54, 6
Operation = Callable[..., Tensor]


def add_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(residual + F.dropout(x, P), (HIDDEN,), weight, bias, EPS)


def our_add_norm(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return own_add_norm.add_norm(x, residual, weight, bias, EPS, P)


def apex_add_norm() -> Operation:
    from apex.normalization.fused_layer_norm import fused_layer_norm_affine

    def operation(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return fused_layer_norm_affine(residual + dropout(x, P, True), weight, bias, (HIDDEN,), EPS)

    return operation


def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


def kl(logits: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(logits.float().log_softmax(-1), target.float(), reduction="none").sum(-1)


def add_norm_on_gpu(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return norm.add_norm(x, residual, weight, bias, EPS, P)


def our_kl(logits: Tensor, target: Tensor) -> Tensor:
    return losses.divergence(logits, target)[0]


def main() -> None:
    arguments = parse_arguments()
    if arguments.counts:
        return counts(arguments)
    rows, device = arguments.pairs * ROWS_A_PAIR, arguments.device
    masked = arguments.pairs * MASKED_A_PAIR

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16).requires_grad_()

    target = torch.randn(masked, CLASSES, device=device).softmax(-1).half()
    # name -> operation, its inputs, and bytes that a fused one moves: forward, then backward
    cases = {
        "dropout + residual + norm": (
            {"torch": add_norm, **rivals_of_add_norm(device)},
            [make(rows, HIDDEN), make(rows, HIDDEN), make(HIDDEN), make(HIDDEN)],
            2 * rows * HIDDEN * (4 + 4),
        ),
        "bias + GELU": (
            {"torch": bias_gelu, **on_gpu(device, gelu.bias_gelu)},
            [make(rows, WIDE), make(WIDE)],
            2 * rows * WIDE * (2 + 3),
        ),
        "KL of 1,601 classes": (
            {"torch": kl, **on_gpu(device, our_kl)},
            [make(masked, CLASSES), target],
            2 * masked * CLASSES * (2 + 3),
        ),
    }
    bandwidth = copy_rate(device)
    lines, figures = [], {"rows": rows, "masked": masked, "bytes_per_second": bandwidth}
    for name, (operations, inputs, moved) in cases.items():
        operations["compiled"] = torch.compile(operations["torch"])
        floor = moved / bandwidth
        times = {kind: measure(operation, inputs, arguments) for kind, operation in operations.items()}
        figures[name] = {"floor": floor, **times}
        for kind, seconds in times.items():
            ratio = f"{times['torch'] / seconds:.2f}"
            lines.append([name, kind, 1e3 * seconds, f"{seconds / floor:.2f}", ratio])
    header = ["forward and backward", "by", "ms", "of the byte floor", "times torch's speed"]
    report.table(f"bf16, {rows:,} rows on {report.machine()}", header, lines)
    report.write_json(arguments.json, figures)


def counts(arguments: argparse.Namespace) -> None:
    tokens, figures = arguments.pairs * ROWS_A_PAIR, {}
    for name, fused in (("torch's operations", False), ("our own", True)):
        forward, backward = layer_trace.trace_layer(tokens, fused)
        header = ["pass", "operation", "launches", "KB a token"]
        report.table(
            f"a layer of base, bf16, {tokens:,} tokens, {name}",
            header,
            layer_trace.table(forward, backward, tokens),
        )
        figures[name] = {
            "launches": [forward.launches, backward.launches],
            "bytes a token": [forward.bytes / tokens, backward.bytes / tokens],
        }
    report.write_json(arguments.json, figures)


def rivals_of_add_norm(device: str) -> dict[str, Operation]:
    if device == "cpu":
        return {"ours": our_add_norm} if native.library() else {}
    apex = {"apex": apex_add_norm()} if apex_symbol("FusedLayerNorm") else {}
    return apex | on_gpu(device, add_norm_on_gpu)


def on_gpu(device: str, operation: Operation) -> dict[str, Operation]:
    """Ours, where it serves."""
    return {"ours": operation} if device == "cuda" and serving.usable(torch.device("cuda", 0)) else {}


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--counts", action="store_true", help="count launches and bytes, measure nothing")
    parser.add_argument("--rounds", type=int, default=20)
    return parser.parse_args()


def measure(operation: Operation, inputs: list[Tensor], arguments: argparse.Namespace) -> float:
    """Median seconds of forward and backward."""
    grad = torch.ones_like(operation(*inputs))
    wanted = [x for x in inputs if x.requires_grad]

    def once() -> None:
        torch.autograd.grad(operation(*inputs), wanted, grad)

    return median_seconds(once, arguments.rounds, arguments.device)


def copy_rate(device: str) -> float:
    """Bytes a second, read and written."""
    source = torch.empty(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_seconds(lambda: target.copy_(source), 20, device)


def median_seconds(work: Callable, rounds: int, device: str) -> float:
    seconds = []
    for number in range(rounds + 3):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
