"""A quick trial of the operations on rows on the device at hand, held to torch's own in fp32 with the same mask."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from interbert.kernels.rows import gelu, gelu_product, losses, norm, reference
from interbert.kernels.rows.build import GELU_PRODUCT, ROWS, compiled
from interbert.kernels.rows.pace import slower
from interbert.kernels.verdict import kept_verdict

ERRORS = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Largest error as a share of the largest number: of rounding to the type, a few times over."""
OF_LOSSES = 1e-4
"""The same of what is fp32."""

Trial = tuple[str, Callable, Callable, list[Any]]
"""Name, ours, torch's, and what both are given."""


def failed_check(arch: int | None, device: torch.device, name: str = ROWS) -> str | None:
    """Why the operations are not to be trusted on this device; None when they are. Their library is there."""

    def verdict() -> str | None:
        """Of a product ours must also be the faster way."""
        timed = name == GELU_PRODUCT and device.type == "cuda"
        return check(device, name) or (slower(device) if timed else None)

    return kept_verdict(compiled(arch, name), device, verdict)


@torch.inference_mode(False)
@torch.enable_grad()
def check(device: torch.device, name: str = ROWS) -> str | None:
    """The first thing that is wrong. Whoever asks may be evaluating."""
    with torch.autocast(device.type, enabled=False):
        for dtype in ERRORS:
            for trial, ours, theirs, given in TRIALS[name](dtype, device):
                failure = compare(ours, theirs, given, ERRORS[dtype])
                if failure:
                    return f"{trial}, {dtype}: {failure}"
    return None


def trials(dtype: torch.dtype, device: torch.device, rows: int = 37) -> Iterator[Trial]:
    """A spread of widths, with and without what may be left out."""
    generator = torch.Generator().manual_seed(rows)

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    def pick(number: int) -> Tensor:
        return torch.randint(number, (rows,), generator=generator).to(device)

    rng = torch.tensor([rows, 2**40 + 1], device=device)
    for width in (64, 768, 1024):
        parameters = make(width), make(width)
        for p, bias in ((0.0, None), (0.1, make(width))):
            both = make(rows, width), make(rows, width)
            yield (
                f"norm of {width} with its residual, dropout {p}",
                norm.add_norm,
                reference.add_norm,
                [*both, *parameters, 1e-5, p, bias, rng, 1],
            )
        sources = [(make(rows, width), None), (make(40, width), pick(40)), (make(90, width), pick(90))]
        for number in (1, 3):
            yield (
                f"norm of {number} sources of {width}",
                norm.norm_drop,
                reference.norm_drop,
                [sources[-number:], *parameters, 1e-5, 0.1, None, rng],
            )
    for number, width in ((rows, 3072), (8 * rows, 72)):
        yield f"GELU of {width}", gelu.bias_gelu, reference.bias_gelu, [make(number, width), make(width)]
    for classes in (2, 1601, 30522):
        logits, target, scores = make(rows, classes), pick(classes), make(rows, classes)
        # Every other row is predicted right. One says nothing, and one has no shares.
        target[1::2], scores[1::2] = logits[1::2].argmax(-1), logits[1::2]
        target[0], logits[2, 0] = -100, 9
        share = (3 * scores.float()).softmax(-1).half()
        share[2] = 0
        given = [logits, target, -100]
        yield f"cross-entropy of {classes}", losses.cross_entropy, reference.cross_entropy, given
        yield f"KL of {classes}", losses.divergence, reference.divergence, [logits, share]


def product_trials(dtype: torch.dtype, device: torch.device) -> Iterator[Trial]:
    """Bands of few rows, several panels a block, all depth there is; on a GPU rows enough for all blocks."""
    sizes = [(1, 256, 128), (37, 256, 1152), (200, 512, 640), (130, 768, 128)]
    for rows, hidden, inner in [*sizes, *([(20_000, 768, 3072)] if device.type == "cuda" else [])]:
        generator = torch.Generator().manual_seed(rows)
        shapes = (rows, hidden), (inner, hidden), (inner,), (hidden, inner)
        x, up, bias, down = (torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes)
        given = [x, up / hidden**0.5, bias, down / inner**0.5]
        name = f"GELU within products of {rows} x {hidden} x {inner}"
        yield name, _rows_of_feed_forward, reference.feed_forward, given


def _rows_of_feed_forward(*given: Tensor) -> Tensor:
    return gelu_product.feed_forward(*given)[0]


TRIALS = {ROWS: trials, GELU_PRODUCT: product_trials}


def compare(ours: Callable, theirs: Callable, given: list[Any], allowed: float) -> str | None:
    got = results_of(ours, given)
    true = results_of(theirs, _as_fp32(given))
    for (name, mine), (_, exact) in zip(got, true, strict=True):
        if mine.dtype == torch.bool:
            if not torch.equal(mine, exact):
                return "which rows are right is wrong"
            continue
        largest = exact.abs().max().clamp(min=1e-6)
        error = ((mine.float() - exact).abs().max() / largest).item()
        most = OF_LOSSES if mine.dtype == torch.float32 else allowed
        if not error <= most:
            return f"{name} is off by {error:.2g} of the largest number, at most {most:.2g} is right"
    return None


def results_of(function: Callable, given: list[Any]) -> list[tuple[str, Tensor]]:
    """What comes out, and the gradients of all that has one, along a direction that is always the same."""
    given = [_fresh(x) for x in given]
    wanted = [x for x in _flat(given) if x.requires_grad]
    made = function(*given)
    outs = list(made) if isinstance(made, tuple) else [made]
    direction = torch.linspace(-1, 1, outs[0].numel(), dtype=torch.float64, device=outs[0].device)
    direction = direction.roll(7).view(outs[0].shape).to(outs[0].dtype)
    grads = torch.autograd.grad(outs[0], wanted, direction)
    return [*(("result", out.detach()) for out in outs), *(("a gradient", grad) for grad in grads)]


def _fresh(x: Any) -> Any:
    """A copy, of which a gradient is wanted unless it is a distribution."""
    if isinstance(x, list):
        return [tuple(_fresh(part) for part in source) for source in x]
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return x
    return x.detach().clone().requires_grad_(not _is_distribution(x))


def _is_distribution(x: Tensor) -> bool:
    return x.dim() == 2 and bool((x >= 0).all())


def _flat(given: list[Any]) -> Iterator[Tensor]:
    for x in given:
        if isinstance(x, list):
            yield from (part for source in x for part in source if part is not None and part.requires_grad)
        elif isinstance(x, Tensor):
            yield x


def _as_fp32(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(_as_fp32(part) for part in x)
    return x.float() if isinstance(x, Tensor) and x.is_floating_point() else x
