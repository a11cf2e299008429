"""The CPU's own order of products gives what nn.Linear gives, in the result and in every gradient."""

import pytest
import torch
from torch.nn import functional as F

from interbert.kernels.linear import ONE_CORE, Linear


@pytest.mark.parametrize("rows", [0, 1, 37, ONE_CORE.start, ONE_CORE.start + 33])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 24), (96, 24), (24, 96)])
def test_bf16_as_torch_does_it(rows: int, inputs: int, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # else the halves are never made
    torch.manual_seed(0)
    layer = Linear(inputs, outputs).bfloat16()
    x = torch.randn(rows, inputs).bfloat16().requires_grad_()
    grad = torch.randn(rows, outputs).bfloat16()
    leaves = [x, layer.weight, layer.bias]
    found = layer(x)
    wanted = F.linear(*leaves)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, grad), torch.autograd.grad(wanted, leaves, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
