"""The steps that a loader gives: the same on any ranks and threads, from any position, in memory used again."""

from itertools import islice

import pytest
import torch
from loaded import MIXED, VOCABULARY, assert_same, load
from small_world import WordTokenizer, settings

from interbert.batches.fixed import fixed_batches
from interbert.batches.loader import Loader
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for


@pytest.mark.parametrize(("world_size", "threads"), [(1, 3), (2, 1), (4, 2)])
def test_global_batches_do_not_depend_on_ranks_and_threads(corpus, world_size, threads):
    alone = load(corpus, 6)
    wanted = settings(**MIXED, data={"threads": threads})
    together = [load(corpus, 6, wanted, rank, world_size) for rank in range(world_size)]
    for step, (numbers, batches, position) in enumerate(alone):
        parts = [ranks[step] for ranks in together]
        found = {n: batch for part in parts for n, batch in zip(part[0], part[1], strict=True)}
        assert sorted(found) == numbers == [0, 1, 2, 3]
        assert all(part[2] == position and part[0][0] == rank for rank, part in enumerate(parts))
        for number, batch in zip(numbers, batches, strict=True):
            assert_same(batch, found[number])


def test_steps_cross_epochs_and_resume_from_a_position(corpus):
    wanted = settings(**MIXED, data={"token_budget": 270})
    steps = load(corpus, 14, wanted)
    positions = [position for _, _, position in steps]
    assert positions[-1].epoch >= 1 and any(
        len({batch.epoch for batch in batches}) == 2 for _, batches, _ in steps
    )
    for cut in (1, 5, next(i for i, p in enumerate(positions) if p.epoch == 1) + 1):
        resumed = load(corpus, 14 - cut, wanted, start=positions[cut - 1])
        for (_, batches, position), (_, again, position_again) in zip(steps[cut:], resumed, strict=True):
            assert position == position_again
            for one, two in zip(batches, again, strict=True):
                assert_same(one, two)


def test_each_caption_once_an_epoch(corpus):
    seen = []
    for _, batches, _ in load(corpus, 14, settings(mismatch={"share": 0.0})):
        seen += [batch.captions_P for batch in batches if batch.epoch == 0]
    assert sorted(torch.cat(seen).tolist()) == list(range(corpus.captions))


def test_a_step_stays_valid_until_the_next_is_asked_for(corpus):
    wanted = settings(**MIXED, data={"threads": 3})
    tokens = token_table(corpus, WordTokenizer(), 12)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    with Loader(Preparer(corpus, tokens, plan, wanted, VOCABULARY), plan, wanted) as loader:
        for step in islice(loader, 10):
            copies = [batch._map(torch.clone) for batch in step.batches]
            for pending in loader._pending:  # all that is prepared ahead is done before the comparison
                for job in pending.jobs:
                    job.batch.result()
            for batch, copy in zip(step.batches, copies, strict=True):
                assert_same(batch, copy)


def test_memory_is_used_again(corpus):
    wanted = settings(train={"micro_batches": 2})
    tokens = token_table(corpus, WordTokenizer(), 12)
    plan = Plan(corpus, tokens, wanted)
    with Loader(Preparer(corpus, tokens, plan, wanted, VOCABULARY), plan, wanted) as loader:
        places = {batch.features_RD.data_ptr() for step in islice(loader, 30) for batch in step.batches}
    assert len(places) == 4


def test_fixed_batches_are_always_the_same_and_not_those_of_training(corpus):
    wanted = settings(mismatch={"side": "either"})
    tokens = token_table(corpus, WordTokenizer(), 12)
    first, second = (fixed_batches(corpus, tokens, wanted, VOCABULARY, 3) for _ in range(2))
    assert len(first) == 3
    for one, two in zip(first, second, strict=True):
        assert_same(one, two)
    assert len({batch.features_RD.data_ptr() for batch in first + second}) == 6
    training = load(corpus, 1, wanted)[0][1]
    assert first[0].captions_P.tolist() != training[0].captions_P.tolist()
    assert len(fixed_batches(corpus, tokens, wanted, VOCABULARY, 10_000)) == 1 + first_epoch_end(
        corpus, wanted
    )


def first_epoch_end(corpus, wanted):
    tokens = token_table(corpus, WordTokenizer(), 12)
    plan = Plan(corpus, tokens, wanted, validation=True)
    last = plan.epoch(0).micro_batches - 1
    plan.close()
    return last
