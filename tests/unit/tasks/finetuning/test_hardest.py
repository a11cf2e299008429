"""Sets of which only the hardest pairs are learnt from."""

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert.batches.batch import Groups
from interbert.batches.selection import hardest_of_sets
from interbert.config import SetSettings, TaskSettings
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.heads import match_log_odds
from interbert.tasks.finetuning.step import FineTuneStep, term_of

SETS, PAIRS, KEPT = 2, 5, 2


def batch_of_sets():
    batch = make_batch([5, 6, 7, 8, 9] * SETS, [2, 3, 4, 5, 6] * SETS, mask=False)
    batch.is_match_P = torch.tensor([1, 0, 0, 0, 0] * SETS)
    ends = torch.arange(0, SETS * PAIRS + 1, PAIRS, dtype=torch.int32)
    batch.groups = Groups(ends, torch.arange(SETS), largest=PAIRS, known=SETS)
    return batch


def step_of(loss: str, hardest: int | None) -> FineTuneStep:
    stages = [
        {
            "kind": kind,
            "layers": 1,
            "heads": 2,
            "intermediate_size": 48,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
        for kind in ("joint", "text", "image")
    ]
    torch.manual_seed(0)
    config = tiny_config(stages=stages, embedding_dropout=0.0, pooled_dropout=0.0)
    sets = SetSettings(random_captions=3, random_images=1, near_images=0, hardest=hardest)
    return FineTuneStep(InterBertForPreTraining(config), TaskSettings(kind="match", loss=loss, sets=sets))


@pytest.mark.parametrize("loss", ["binary", "cross_entropy", "triplet"])
def test_the_loss_and_its_gradient_are_those_of_the_hardest(loss):
    batch, step, plain = batch_of_sets(), step_of(loss, KEPT).train(), step_of(loss, None).train()
    ((name, term),) = term_of(step.settings).items()
    assert batch.counts()[term.counted_by] == SETS
    with torch.no_grad():
        odds_P = match_log_odds(plain.logits(batch))
    picked = hardest_of_sets(batch, odds_P, KEPT)
    false = odds_P.view(SETS, PAIRS)[:, 1:].sort(dim=1, descending=True).values
    got = match_log_odds(plain.logits(picked)).view(SETS, KEPT + 1)[:, 1:].sort(dim=1, descending=True).values
    torch.testing.assert_close(got, false[:, :KEPT], rtol=1e-4, atol=1e-5)
    scales = {name: 1 / SETS}
    (found, stats), (wanted, _) = step(batch, scales), plain(picked, scales)
    assert torch.equal(found, wanted) and step.model.training and (stats[0, 1] <= SETS).all()
    found.backward()
    wanted.backward()
    pairs = zip(step.parameters(), plain.parameters(), strict=True)
    assert all(
        (a.grad is None) == (b.grad is None) and (a.grad is None or torch.equal(a.grad, b.grad))
        for a, b in pairs
    )
    assert not torch.equal(plain(batch, scales)[0], wanted)


def test_pairs_are_scored_without_dropout_and_judged_whole():
    step = step_of("cross_entropy", KEPT)
    seen = []
    step.model.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    logits = step.model.forward_packed
    step.model.forward_packed = lambda *a: seen.append(step.model.training) or logits(*a)
    step.train()(batch_of_sets(), {"match": 1.0})
    assert seen == [False, True]
    answers = step.eval()(batch_of_sets(), {"match": 1.0})[2]
    assert len(answers) == SETS * PAIRS
