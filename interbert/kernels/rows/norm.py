"""LayerNorm of a sum of rows with dropout before or after it, as an operator of torch: one pass each way.

before: norm(drop(x + bias) + second + third). after: drop(norm(x + bias + second + third)). An index says which row
of a source is meant, as in an embedding. Nothing is kept for the backward pass but what came in, mean and deviation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interbert.kernels.attend.fused import draw_rng
from interbert.kernels.dropout import threshold
from interbert.kernels.rows.build import launch
from interbert.kernels.rows.problems import Parts, RowNorm, Sources, parts_of, pointer, rows_of

MOST_BLOCKS = 1024
"""That share the columns' sums: more than any GPU holds at once."""


def add_norm(
    x_NW: Tensor,
    residual_NW: Tensor,
    weight_W: Tensor,
    shift_W: Tensor,
    eps: float,
    p: float = 0.0,
    bias_W: Tensor | None = None,
    rng: Tensor | None = None,
    stream: int = 0,
) -> Tensor:
    """LayerNorm(residual + dropout(x + bias)). `rng`: int64 [2] on the device, drawn if there is dropout and none is
    given; `stream` tells calls with one rng apart."""
    drawn = _drawn(rng, p, x_NW)
    inputs = (x_NW, None, residual_NW, None, None, None, bias_W, weight_W, shift_W, drawn)
    return _forward(*inputs, stream, threshold(p), False, eps)[0]


def norm_drop(
    sources: Sequence[tuple[Tensor, Tensor | None]],
    weight_W: Tensor,
    shift_W: Tensor,
    eps: float,
    p: float = 0.0,
    bias_W: Tensor | None = None,
    rng: Tensor | None = None,
) -> Tensor:
    """dropout(LayerNorm(sum of up to three sources + bias)), each of them rows, or rows and which of them."""
    flat = [part for source in sources for part in source]
    flat += [None] * (6 - len(flat))
    drawn = _drawn(rng, p, sources[0][0])
    return _forward(*flat, bias_W, weight_W, shift_W, drawn, 0, threshold(p), True, eps)[0]


def _drawn(rng: Tensor | None, p: float, like: Tensor) -> Tensor | None:
    if not threshold(p):
        return None
    return draw_rng(like.device) if rng is None else rng


@torch.library.custom_op("interbert::row_norm", mutates_args=())
def _forward(
    x: Tensor,
    x_index: Tensor | None,
    second: Tensor | None,
    second_index: Tensor | None,
    third: Tensor | None,
    third_index: Tensor | None,
    bias: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    rng: Tensor | None,
    stream: int,
    dropped: int,
    after: bool,
    eps: float,
) -> tuple[Tensor, Tensor]:
    rows, width = _rows(x, x_index), x.shape[1]
    y, stats = x.new_empty(rows, width), x.new_empty(2, rows, dtype=torch.float32)
    sources = (x, x_index), (second, second_index), (third, third_index)
    _launch(sources, bias, weight, shift, None, rng, y, None, stats, None, (stream, dropped, after, eps))
    return y, stats


@_forward.register_fake
def _(x, x_index, second, second_index, third, third_index, bias, weight, shift, rng, *rest):
    rows = _rows(x, x_index)
    return x.new_empty(rows, x.shape[1]), x.new_empty(2, rows, dtype=torch.float32)


@torch.library.custom_op("interbert::row_norm_backward", mutates_args=())
def _backward(
    grad: Tensor,
    x: Tensor,
    x_index: Tensor | None,
    second: Tensor | None,
    second_index: Tensor | None,
    third: Tensor | None,
    third_index: Tensor | None,
    bias: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    rng: Tensor | None,
    stats: Tensor,
    stream: int,
    dropped: int,
    after: bool,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of the sum where that is another one (else nothing), of weight, shift and bias [2 or 3, W]."""
    grad = rows_of(grad)
    x_grad, sum_grad = torch.empty_like(grad), torch.empty_like(grad) if not after else grad.new_empty(0)
    arrays = 2 + (bias is not None)
    parts = Parts(min(MOST_BLOCKS, grad.shape[0]), arrays * x.shape[1], x)
    sources = (x, x_index), (second, second_index), (third, third_index)
    outs = x_grad, None if after else sum_grad, stats, parts
    _launch(sources, bias, weight, shift, grad, rng, *outs, (stream, dropped, after, eps))
    return x_grad, sum_grad, parts.summed().view(arrays, x.shape[1])


@_backward.register_fake
def _(grad, x, x_index, second, second_index, third, third_index, bias, weight, shift, rng, stats, *rest):
    after = rest[2]
    x_grad = torch.empty_like(grad, memory_format=torch.contiguous_format)
    sum_grad = grad.new_empty(0) if after else torch.empty_like(x_grad)
    return x_grad, sum_grad, x.new_empty(2 + (bias is not None), x.shape[1])


def _keep(ctx, inputs, output) -> None:
    *tensors, ctx.stream, ctx.dropped, ctx.after, ctx.eps = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _differentiate(ctx, grad, _grad_of_stats):
    if grad is None:
        return (None,) * 14
    saved = ctx.saved_tensors  # once: checkpointing gives them once
    x, x_index, second, second_index, third, third_index, *_ = saved
    how = ctx.stream, ctx.dropped, ctx.after, ctx.eps
    x_grad, sum_grad, of_parameters = _backward(grad, *saved, *how)
    sum_grad = x_grad if ctx.after else sum_grad
    sources = ((x, x_index, x_grad), (second, second_index, sum_grad), (third, third_index, sum_grad))
    of_sources = [part for source in sources for part in (_of_source(*source), None)]
    weight_grad, shift_grad, *bias_grad = of_parameters.unbind()
    return *of_sources, *(bias_grad or [None]), weight_grad, shift_grad, *(None,) * 5


_forward.register_autograd(_differentiate, setup_context=_keep)


def _of_source(source: Tensor | None, index: Tensor | None, grad: Tensor) -> Tensor | None:
    if source is None or not source.requires_grad:
        return None
    if index is None:
        return grad
    return torch.ops.aten.embedding_dense_backward(grad, index, source.shape[0], -1, False)


def _rows(x: Tensor, index: Tensor | None) -> int:
    return x.shape[0] if index is None else index.shape[0]


def _launch(
    sources: tuple[tuple[Tensor | None, Tensor | None], ...],
    bias: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    grad: Tensor | None,
    rng: Tensor | None,
    y: Tensor,
    sum_grad: Tensor | None,
    stats: Tensor,
    parts: Parts | None,
    how: tuple[int, int, bool, float],
) -> None:
    stream, dropped, after, eps = how
    rows, width = y.shape
    held = [(None if x is None else rows_of(x), index) for x, index in sources]
    for x, index in held:
        _check(x, index, rows, width)
    assert bias is None or bias.shape == (width,)
    assert weight.shape == shift.shape == (width,) and (rng is None) == (dropped == 0)
    problem = RowNorm(
        Sources(*(pointer(x) for x, _ in held)),
        Sources(*(pointer(index) for _, index in held)),
        *map(pointer, (bias, weight, shift, grad, rng, y, sum_grad, stats)),
        *map(pointer, parts_of(parts)),
        *(rows, width, dropped, stream, after, y.dtype == torch.bfloat16, MOST_BLOCKS),
        eps,
    )
    launch("interbert_row_norm", problem, grad is not None, y.device)


def _check(x: Tensor | None, index: Tensor | None, rows: int, width: int) -> None:
    """The kernels believe what they are given."""
    if x is None:
        return
    assert x.shape[1] == width and (index is not None or x.shape[0] == rows)
    assert index is None or (index.dtype == torch.int64 and index.shape == (rows,))
