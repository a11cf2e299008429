"""What a layer asks of a GPU besides its products, counted."""

import ctypes

import pytest
import torch

from benchmarks.layer_trace import LAUNCHES, trace_layer
from interbert.kernels.rows import build, gelu, losses, norm, problems

TOKENS = 27648  # of 512 pairs


def test_a_layer_of_base_makes_few_launches_and_moves_few_bytes():
    forward, backward = trace_layer(TOKENS, fused=True)
    assert forward.launches <= 12 and backward.launches <= 18
    assert (forward.bytes + backward.bytes) / TOKENS <= 64e3
    # Nothing but products, attention, seeds and operations of ours, and the sums of one bias.
    assert not {name for trace in (forward, backward) for name in trace.seen} - {
        *("mm", "addmm", "addmm_ (the residual's gradient)", "attention", "attention_backward", "randint"),
        *("row_norm", "row_norm_backward", "bias_gelu", "bias_gelu_backward", "sum"),
    }


def test_torchs_own_operations_move_half_as_many_again():
    forward, backward = trace_layer(TOKENS, fused=False)
    assert (forward.bytes + backward.bytes) / TOKENS >= 90e3


@pytest.mark.parametrize(
    ("operation", "kernels"),
    [("row_norm", 1), ("row_norm_backward", 2), ("bias_gelu", 1), ("bias_gelu_backward", 2), ("row_loss", 1)],
)
def test_operations_start_as_many_kernels_as_are_counted(operation, kernels, monkeypatch):
    started = []

    def note(name, problem, backward, device):
        started.append(name)
        assert isinstance(problem, ctypes.Structure)

    for module in (build, norm, gelu, losses, problems):
        monkeypatch.setattr(module, "launch", note)
    x, weight = torch.zeros(4, 64).half(), torch.zeros(64).half()
    stats = torch.zeros(2, 4)
    sources = (x, None, x, None, None, None, None, weight, weight, None)
    given = {
        "row_norm": (*sources, 0, 0, False, 1e-5),
        "row_norm_backward": (x, *sources, stats, 0, 0, False, 1e-5),
        "bias_gelu": (x, weight),
        "bias_gelu_backward": (x, x, weight),
        "row_loss": (x, torch.zeros(4, dtype=torch.int64), None, -100),
    }
    getattr(torch.ops.interbert, operation)(*given[operation])
    assert len(started) == kernels == LAUNCHES.get(operation, 1)
