"""Weights laid out once: the same numbers as torch's product, of any number of rows, and no part in training."""

import pytest
import torch
from torch.nn import functional as F

from interbert.kernels.cpu.laid_out import filled, laid_out
from interbert.model.layers.linear import Linear, lay_out

try:
    torch.ops.mkldnn._linear_pointwise  # noqa: B018
    there = torch.backends.mkldnn.is_available()
except AttributeError:
    there = False
needs_onednn = pytest.mark.skipif(not there, reason="this torch has no such products of oneDNN")


def layer(inputs: int = 48, outputs: int = 40) -> Linear:
    torch.manual_seed(0)
    return Linear(inputs, outputs)


@needs_onednn
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 8, 131, 600])
def test_products_are_those_of_torch(rows, gelu):
    plain, ours = layer(), layer()
    lay_out(ours)
    x_NI = torch.randn(rows, 48)
    with torch.inference_mode():
        want_NO = F.linear(x_NI, plain.weight, plain.bias)
        y_NO = ours(x_NI, gelu)
    assert ours.laid_out is not None and y_NO.shape == (rows, 40)
    assert torch.allclose(y_NO, F.gelu(want_NO) if gelu else want_NO, atol=1e-5)


@needs_onednn
def test_rows_that_are_read_along_are_nobodys():
    ours, rows = layer(), 5
    lay_out(ours)
    x_NI = torch.randn(filled(rows), 48)
    x_NI[rows:] = torch.nan
    among = torch.randn(rows, 96)[:, ::2]
    with torch.inference_mode():
        assert torch.allclose(ours(x_NI[:rows]), F.linear(x_NI[:rows], ours.weight, ours.bias), atol=1e-5)
        assert torch.allclose(ours(among), F.linear(among, ours.weight, ours.bias), atol=1e-5)
        assert ours(x_NI[:0]).shape == (0, 40)


def test_whoever_asks_for_a_gradient_has_it():
    ours = layer()
    lay_out(ours)
    ours(torch.randn(3, 48)).sum().backward()
    assert ours.weight.grad is not None and ours.weight.grad.abs().sum() > 0


def test_other_precisions_are_left_alone():
    ours = layer().bfloat16()
    lay_out(ours)
    assert ours.laid_out is None and laid_out(ours.weight, ours.bias) is None


def test_few_numbers_of_rows_are_met():
    found = {filled(rows) for rows in range(1, 4097)}
    assert len(found) < 150
    assert all(rows <= filled(rows) < rows + 64 for rows in range(1, 4097))
