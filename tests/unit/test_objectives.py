"""Each objective against its formula."""

import pytest
import torch
from torch.nn import functional as F

from interbert import objectives
from interbert.batches.batch import COUNTS, Batch
from interbert.model.shape.heads_needed import HEAD, needs
from interbert.objectives import IGNORED


def test_words_are_summed_and_ignored_ones_left_out():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    total, count = objectives.msm(logits, torch.tensor([0, 0, IGNORED]))
    expected = torch.log1p(torch.tensor(-2.0).exp()) + torch.log1p(torch.tensor(1.0).exp())
    torch.testing.assert_close(total, expected)
    assert count.item() == 2


def test_region_kl_is_summed_over_classes():
    logits, target = torch.randn(3, 5), torch.randn(3, 5).softmax(-1)
    target[0] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    total, count = objectives.mrm(logits, target)
    log_p = logits.log_softmax(-1)
    expected = sum(t * (t.log() - p) for t, p in zip(target.flatten(), log_p.flatten(), strict=True) if t > 0)
    torch.testing.assert_close(total, expected)
    assert count.item() == 3
    part, counted = objectives.mrm(logits, target, torch.tensor([0, IGNORED, 0]))
    torch.testing.assert_close(part, total - F.kl_div(log_p[1], target[1], reduction="sum"))
    assert counted.item() == 2


def test_a_perfect_distribution_costs_nothing():
    target = torch.randn(4, 6).softmax(-1)
    total, _ = objectives.mrm(target.log(), target)
    assert total.item() == pytest.approx(0, abs=1e-5)


def test_feature_regression():
    total, count = objectives.mrfr(
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    )
    assert (total.item(), count.item()) == (2.0 + 5.0, 2)


def test_class_zero_is_the_match():
    says_match = torch.tensor([[9.0, -9.0]]).expand(2, 2)
    right, _ = objectives.itm(says_match[:1], torch.tensor([1]))
    wrong, count = objectives.itm(says_match, torch.tensor([0, IGNORED]))
    assert right.item() == pytest.approx(0, abs=1e-6) and wrong.item() == pytest.approx(18, abs=1e-4)
    assert count.item() == 1
    assert objectives.match_classes(torch.tensor([1, 0, IGNORED])).tolist() == [0, 1, IGNORED]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_fp32(dtype):
    logits = torch.randn(4000, 10).to(dtype)
    targets = torch.randint(0, 10, (4000,))
    total, _ = objectives.msm(logits, targets)
    assert total.dtype == torch.float32
    torch.testing.assert_close(
        total, F.cross_entropy(logits.double(), targets, reduction="sum").float(), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", ["msm", "moc", "mrm", "mrfr"])
def test_nothing_to_predict_adds_an_exact_zero_with_zero_gradients(name):
    weight = torch.randn(3, 7, requires_grad=True)
    predicted = torch.zeros(0, 3) @ weight
    target = torch.zeros(0, 7) if name in ("mrm", "mrfr") else torch.zeros(0, dtype=torch.int64)
    total, count = getattr(objectives, name)(predicted, target)
    total.backward()
    assert total.item() == 0 and count.item() == 0
    assert torch.equal(weight.grad, torch.zeros(3, 7))


def test_each_objective_names_a_head_and_a_count_of_the_batch():
    from made_batches import make_batch

    assert needs(["msm", "itm", "mrfr"]) == {"tokens", "match", "features"}
    counts = make_batch([4, 5], [3, 2]).counts()
    assert set(objectives.COUNTED_BY.values()) <= counts.keys() == set(COUNTS)
    assert HEAD.keys() == objectives.COUNTED_BY.keys()


def test_missing_evidence_is_named():
    from made_batches import make_batch

    batch: Batch = make_batch([4], [3])
    batch.class_probs_NK = batch.class_labels_N = None
    for name, word in (("mrm", "distributions"), ("moc", "classes")):
        with pytest.raises(ValueError, match=word):
            objectives.losses([name], None, batch)
