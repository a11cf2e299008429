"""Our dropout: its share, its mean, its gradient, and that torch's seed rules it."""

import pytest
import torch

from interbert.kernels.dropout import draw_mask, dropout, dropout_add


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_share_and_scale_match(p):
    torch.manual_seed(0)
    out = dropout(torch.ones(1000, 1001), p, training=True)
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=3e-3)
    assert out.mean().item() == pytest.approx(1.0, abs=4e-3)


def test_no_byte_of_a_word_is_drawn_otherwise():
    torch.manual_seed(0)
    mask, _ = draw_mask(torch.empty(80_000, 8), 0.1)
    assert (1 - mask.mean(0)).tolist() == pytest.approx([26 / 256] * 8, abs=4e-3)
    assert torch.corrcoef(mask.t()).fill_diagonal_(0).abs().max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_goes_where_the_mask_let_values_through(dtype):
    x = torch.randn(7, 33, dtype=dtype, requires_grad=True)
    residual = torch.randn(7, 33, dtype=dtype, requires_grad=True)
    torch.manual_seed(3)
    out = dropout_add(x, residual, 0.3, training=True)
    torch.manual_seed(3)
    mask, scale = draw_mask(x, 0.3)
    torch.testing.assert_close(out, residual + x * mask * scale, rtol=1e-2, atol=1e-2)
    out.sum().backward()
    torch.testing.assert_close(x.grad, mask * scale)
    assert torch.equal(residual.grad, torch.ones_like(residual))


def test_the_seed_rules_and_evaluation_drops_nothing():
    x = torch.randn(50, 3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(x, 0.5, training=True))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert dropout(x, 0.5, training=False) is x
    assert torch.equal(dropout_add(x, x, 0.5, training=False), 2 * x)
