"""Every attention backend against the reference, both ways, on ragged lengths and empty sequences."""

import logging

import pytest
import torch

from interbert.kernels import attention
from interbert.kernels.attend.attention import BACKENDS, SAID

LENGTHS = {
    "ragged": [3, 17, 1, 40, 9],
    "empty": [0, 5, 0, 7, 0, 0],
    "one": [11],
    "equal": [6, 6, 6],
}


def make(lengths, heads=3, width=8, dtype=torch.float32, tail=0):
    torch.manual_seed(sum(lengths))
    cu = torch.tensor([0, *lengths]).cumsum(0).int()
    return torch.randn(sum(lengths) + tail, 3, heads, width, dtype=dtype), cu, max(lengths)


def run(qkv, cu, longest, backend, weight=None):
    qkv = qkv.clone().requires_grad_()
    out = attention(qkv, cu, longest, backend=backend)
    (out * (torch.ones_like(out) if weight is None else weight)).sum().backward()
    return out.detach(), qkv.grad


CPU_BACKENDS = [name for name in BACKENDS if name not in ("reference", "flash", "fused", "host")]
FP32_BACKENDS = [name for name in CPU_BACKENDS if name != "tiles"]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("backend", FP32_BACKENDS)
@pytest.mark.parametrize("tail", [0, 4])
def test_backends_agree_with_the_reference(lengths, backend, tail):
    qkv, cu, longest = make(lengths, tail=tail)
    weight = torch.randn(qkv.shape[0], 3, 8)
    # A bound on the longest length may be loose.
    out, grad = run(qkv, cu, longest + 3, backend, weight)
    expected, expected_grad = run(qkv, cu, longest, "reference", weight)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-5)
    if tail:
        assert not out[-tail:].any() and not grad[-tail:].any()


@pytest.mark.parametrize("backend", FP32_BACKENDS)  # test_native.py has the tiles
def test_half_precision_stays_close_to_fp32(backend):
    qkv, cu, longest = make([3, 17, 1, 40, 9], dtype=torch.bfloat16)
    out, grad = run(qkv, cu, longest, backend)
    expected, expected_grad = run(qkv.float(), cu, longest, "reference")
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(grad.float(), expected_grad, rtol=4e-2, atol=4e-2)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_no_rows_at_all_never_reach_a_backend_and_have_gradients(backend, monkeypatch):
    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, lambda *_: pytest.fail("it was asked"))
    qkv = torch.zeros(0, 3, 2, 8, requires_grad=True)
    out = attention(qkv, torch.zeros(3, dtype=torch.int32), 0, backend=backend)
    assert out.shape == (0, 2, 8)
    out.sum().backward()
    assert qkv.grad.shape == (0, 3, 2, 8)


@pytest.mark.parametrize("backend", ["reference", *FP32_BACKENDS])
def test_dropout_drops_its_share_of_the_probabilities_and_keeps_the_mean(backend):
    torch.manual_seed(0)
    length, p = 16, 0.25
    qkv = torch.zeros(16 * 64, 3, 1, 16)
    qkv[:, 2, 0] = torch.eye(length).repeat(64, 1)  # values that show each probability
    cu = torch.arange(0, 16 * 64 + 1, length, dtype=torch.int32)
    out = attention(qkv, cu, length, dropout_p=p, backend=backend)
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.02)
    assert out.sum(-1).mean().item() == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / length / (1 - p)))


@pytest.mark.parametrize("backend", FP32_BACKENDS)
def test_dropout_has_the_gradient_of_the_mask_it_drew(backend):
    qkv, cu, longest = make([4, 7])
    qkv = qkv.double().requires_grad_()

    def drawn(x):
        torch.manual_seed(5)
        return attention(x, cu, longest, dropout_p=0.3, backend=backend)

    assert torch.autograd.gradcheck(drawn, (qkv,), atol=1e-6, rtol=1e-5)


def test_the_choice_is_logged_once(caplog):
    SAID.clear()
    qkv, cu, longest = make([3])
    with caplog.at_level(logging.INFO):
        attention(qkv, cu, longest)
        attention(qkv, cu, longest)
    lines = [r.message for r in caplog.records if r.message.startswith("attention on cpu")]
    assert len(lines) == 1 and "buckets" in lines[0]


def test_the_tile_kernel_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match=r"torch.float32.*bf16"):
        attention(*make([3]), backend="tiles")


def test_unknown_backend():
    with pytest.raises(ValueError, match="reference"):
        attention(*make([3]), backend="best")
    with pytest.raises(ValueError, match="reference"):
        attention(torch.zeros(0, 3, 2, 8), torch.zeros(1, dtype=torch.int32), 0, backend="best")
