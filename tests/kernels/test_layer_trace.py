"""What a layer asks of a GPU besides its products, counted."""

import ctypes

import pytest
import torch

from benchmarks.layer_trace import LAUNCHES, trace_layer
from interbert.kernels.rows import build, gelu, gelu_product, losses, norm, problems, table

TOKENS = 27648  # of 512 pairs


def test_a_layer_of_base_makes_few_launches_and_moves_few_bytes():
    forward, backward = trace_layer(TOKENS, fused=True)
    assert forward.launches <= 12 and backward.launches <= 18
    assert (forward.bytes + backward.bytes) / TOKENS <= 45e3
    # Nothing but products, attention, seeds and operations of ours, and the sums of one bias.
    assert not {name for trace in (forward, backward) for name in trace.seen} - {
        *("mm", "addmm", "addmm_ (the residual's gradient)", "attention", "attention_backward", "randint"),
        *("row_norm", "row_norm_backward", "gelu_product", "gelu_product_backward", "sum"),
    }


def test_of_a_product_with_gelu_all_is_counted_but_factors_and_one_result():
    forward, backward = trace_layer(TOKENS, fused=True)
    slope = TOKENS * 3072 * 2
    assert forward.seen["gelu_product"].bytes == slope + 3072 * 2
    # Sums of columns: 8 warps of up to 7 blocks leave fp32 numbers, which are read again.
    assert backward.seen["gelu_product_backward"].bytes == slope + 3072 * 2 + 2 * 4 * 8 * 7 * 3072


def test_where_gelu_stands_alone_it_moves_what_a_pass_moves(monkeypatch):
    monkeypatch.setattr(table, "DEEPEST_PRODUCT", 0)
    forward, backward = trace_layer(TOKENS, fused=True)
    assert forward.launches <= 12 and backward.launches <= 18
    assert (forward.bytes + backward.bytes) / TOKENS <= 64e3
    assert "bias_gelu" in forward.seen and "gelu_product" not in forward.seen


def test_torchs_own_operations_move_half_as_many_again():
    forward, backward = trace_layer(TOKENS, fused=False)
    assert (forward.bytes + backward.bytes) / TOKENS >= 90e3


@pytest.mark.parametrize(
    ("operation", "kernels"),
    [
        *(
            ("row_norm", 1),
            ("row_norm_backward", 2),
            ("bias_gelu", 1),
            ("bias_gelu_backward", 2),
            ("row_loss", 1),
        ),
        *(("gelu_product", 1), ("gelu_product_backward", 2)),
    ],
)
def test_operations_start_as_many_kernels_as_are_counted(operation, kernels, monkeypatch):
    started = []

    def note(name, problem, backward, device, library=None):
        started.append(name)
        assert isinstance(problem, ctypes.Structure)

    for module in (build, norm, gelu, gelu_product, losses, problems):
        monkeypatch.setattr(module, "launch", note)
    x, weight = torch.zeros(4, 64).half(), torch.zeros(64).half()
    stats = torch.zeros(2, 4)
    sources = (x, None, x, None, None, None, None, weight, weight, None)
    given = {
        "row_norm": (*sources, 0, 0, False, 1e-5),
        "row_norm_backward": (x, *sources, stats, 0, 0, False, 1e-5),
        "bias_gelu": (x, weight),
        "bias_gelu_backward": (x, x, weight),
        "gelu_product": (x, torch.zeros(128, 64).half(), torch.zeros(128).half(), True),
        "gelu_product_backward": (x, torch.zeros(64, 128).half(), torch.zeros(4, 128).half()),
        "row_loss": (x, torch.zeros(4, dtype=torch.int64), None, -100),
    }
    getattr(torch.ops.interbert, operation)(*given[operation])
    assert len(started) == kernels == LAUNCHES.get(operation, 1)
