"""Cross-attention against its definition, both ways, with streams that are empty for some pairs."""

import pytest
import torch

from interbert.kernels.attend.cross_attention import cross_attention, cross_attention_reference


@pytest.mark.parametrize(
    ("asks", "seen"),
    [([3, 5, 1], [4, 2, 7]), ([3, 0, 5], [0, 4, 2]), ([2, 2], [0, 0]), ([0, 0], [1, 3]), ([6], [1])],
)
def test_it_is_its_definition(asks, seen):
    torch.manual_seed(0)
    cu_q, cu_k = (torch.tensor([0, *lengths]).cumsum(0).int() for lengths in (asks, seen))

    def inputs():
        torch.manual_seed(1)
        return [
            torch.randn(n, *rest, 2, 8, requires_grad=True) for n, *rest in ((sum(asks),), (sum(seen), 2))
        ]

    weight = torch.randn(sum(asks), 2, 8)
    found, expected = inputs(), inputs()
    out = cross_attention(*found, cu_q, cu_k, max(asks) + 2, max(seen) + 1)
    reference = cross_attention_reference(*expected, cu_q, cu_k)
    torch.testing.assert_close(out, reference, rtol=1e-5, atol=1e-6)
    (out * weight).sum().backward()
    if reference.requires_grad:
        (reference * weight).sum().backward()
    for ours, theirs in zip(found, expected, strict=True):
        theirs = torch.zeros_like(ours) if theirs.grad is None else theirs.grad
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-5, atol=1e-6)
