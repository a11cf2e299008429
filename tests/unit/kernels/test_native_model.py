"""A model in bf16 whose every product, norm, attention and loss goes through the native CPU kernels."""

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert import objectives
from interbert.kernels.cpu import native
from interbert.kernels.cpu.native_functions import FUNCTIONS
from interbert.model import InterBertForPreTraining
from interbert.model.shape.heads_needed import needs

OBJECTIVES = ["msm", "mrm", "itm"]


@pytest.fixture
def called(kernels, monkeypatch) -> set[str]:
    names, real = set(), native.call

    def noted(name, *arguments):
        names.add(name)
        real(name, *arguments)

    monkeypatch.setattr(native, "call", noted)
    return names


def loss_and_gradients(dtype, training=False):
    model = InterBertForPreTraining.from_seed(tiny_config(), seed=1).to(dtype).train(training)
    batch = make_batch([5, 9, 3, 7, 20], [4, 1, 6, 2, 12])
    output = model.forward_packed(batch, needs(OBJECTIVES))
    loss = sum(found.sum / found.count for found in objectives.losses(OBJECTIVES, output, batch).values())
    loss.backward()
    return loss.item(), {n: p.grad.double() for n, p in model.named_parameters() if p.grad is not None}


def test_a_model_in_bf16_is_computed_by_them_and_no_worse_than_by_torch(called, monkeypatch):
    loss, grads = loss_and_gradients(torch.bfloat16)
    assert called == set(FUNCTIONS)
    monkeypatch.setattr(native, "library", lambda: None)
    called.clear()
    torchs_loss, torchs_grads = loss_and_gradients(torch.bfloat16)
    exact_loss, exact = loss_and_gradients(torch.float32)
    assert not called
    assert abs(loss - exact_loss) <= 2 * abs(torchs_loss - exact_loss) + 2e-3 * exact_loss
    assert grads.keys() == exact.keys()
    for name, true in exact.items():
        ours, theirs = ((x[name] - true).norm() for x in (grads, torchs_grads))
        # A pooled number near zero may fall on the other side of its ReLU, in one of a tensor's few rows.
        assert ours <= 2 * theirs + 0.1 * true.norm() + 1e-6, name
    ours, theirs, true = (
        torch.cat([(x[name] - y).flatten() for name, y in against.items()]).norm()
        for x, against in ((grads, exact), (torchs_grads, exact), (exact, dict.fromkeys(exact, 0.0)))
    )
    assert ours <= 2 * theirs + 5e-3 * true


def test_fp32_is_left_to_torch(called):
    loss_and_gradients(torch.float32, training=True)
    assert not called


def test_training_draws_its_dropout_from_torchs_seed(called):
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(loss_and_gradients(torch.bfloat16, training=True)[0])
    assert losses[0] == losses[1] != losses[2]
