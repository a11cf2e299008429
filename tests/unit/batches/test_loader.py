import errno
import os
import re
from dataclasses import fields
from itertools import count, islice

import numpy as np
import pytest
import torch
from small_world import CLASSES, WordTokenizer, open_world, settings, write_store

from interbert.batches.endless import Position
from interbert.batches.fixed import fixed_batches
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer, box_shares
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for
from interbert.store import direct_reader
from interbert.store.store import StoreError

VOCABULARY = Vocabulary.of(WordTokenizer())
START = Position()
MIXED = {"mismatch": {"side": "either", "hard_share": 0.2, "swap_share": 0.2}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    with open_world(tmp_path_factory.mktemp("world")) as corpus:
        yield corpus


def load(corpus, steps, wanted=None, rank=0, world_size=1, start=START):
    """Copies of what a loader gives in its first steps: [(numbers, batches, position)]."""
    wanted = wanted or settings(**MIXED)
    tokens = token_table(corpus, WordTokenizer(), wanted.data.max_text_tokens)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    with Loader(
        Preparer(corpus, tokens, plan, wanted, VOCABULARY), plan, wanted, rank, world_size, start
    ) as loader:
        return [
            (step.numbers, [batch._map(torch.clone) for batch in step.batches], step.position)
            for step in islice(loader, steps)
        ]


def assert_same(one, two):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all()), field.name
        else:
            assert a == b, field.name


def test_a_batch_holds_what_the_store_and_the_captions_say(corpus):
    wanted = settings(**MIXED)
    tokens = token_table(corpus, WordTokenizer(), 12)
    truncated = false = 0
    for _, batches, _ in load(corpus, 8, wanted):
        for batch in batches:
            assert batch.tokens <= 300
            for pair in range(batch.pairs):
                image, caption = int(batch.images_P[pair]), int(batch.captions_P[pair])
                features, boxes = corpus.read(np.array([image]), corpus.region_counts[[image]])
                rows = slice(int(batch.cu_regions[pair]), int(batch.cu_regions[pair + 1]))
                kept = rows.stop - rows.start
                assert kept == min(len(boxes), 10)
                truncated += len(boxes) > 10
                assert (batch.features_RD[rows].numpy() == features[:kept]).all()
                shares = boxes[:kept] / np.array([200, 100, 200, 100], np.float32)
                area = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
                np.testing.assert_allclose(batch.boxes_R5[rows], np.column_stack([shares, area]), rtol=1e-6)
                own = caption < corpus.captions and corpus.caption_image[caption] == image
                assert int(batch.is_match_P[pair]) == own
                false += not own
            assert (original_ids(batch) == tokens.gather(batch.captions_P.numpy())[0]).all()
            assert (
                batch.max_text == batch.cu_text.diff().max()
                and batch.max_regions == batch.cu_regions.diff().max()
            )
            assert not batch.token_types_T.any() and len(batch.token_types_T) == len(batch.input_ids_T)
    assert truncated and false


def original_ids(batch):
    """The ids before masking, as far as the targets tell (all pairs count in these settings)."""
    ids = batch.input_ids_T.clone()
    ids[batch.masked_tokens_M] = batch.token_targets_M
    return ids.numpy()


def test_evidence_is_that_of_the_masked_regions(corpus):
    seen = 0
    for _, batches, _ in load(corpus, 4):
        for batch in batches:
            pair_N = torch.searchsorted(batch.cu_regions, batch.masked_regions_N, right=True) - 1
            rows_N = batch.masked_regions_N - batch.cu_regions[pair_N]
            probs, _ = corpus.read_evidence(batch.images_P[pair_N].numpy(), rows_N.numpy())
            assert batch.class_probs_NK.dtype == torch.float16 and batch.class_probs_NK.shape[1] == CLASSES
            assert (batch.class_probs_NK.numpy() == probs).all()
            assert (batch.class_labels_N == batch.class_probs_NK.argmax(1)).all()
            assert batch.is_match_P[pair_N].all(), (
                "masked regions of mismatched pairs do not count by default"
            )
            assert batch.zeroed_R[batch.masked_regions_N].all()
            seen += len(rows_N)
    assert seen > 100


def test_recipe_says_whether_mismatched_pairs_count(corpus):
    for text_loss, region_loss in ((True, False), (False, True)):
        wanted = settings(mismatch={"text_loss": text_loss, "region_loss": region_loss})
        on_false = np.zeros(2, int)
        for _, batches, _ in load(corpus, 4, wanted):
            for batch in batches:
                for which, rows, offsets in (
                    (0, batch.masked_tokens_M, batch.cu_text),
                    (1, batch.masked_regions_N, batch.cu_regions),
                ):
                    pairs = torch.searchsorted(offsets, rows, right=True) - 1
                    on_false[which] += (batch.is_match_P[pairs] == 0).sum()
        assert (on_false > 0).tolist() == [text_loss, region_loss]


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


def test_masks_beyond_a_capacity_are_dropped(corpus):
    wanted = settings(data={"masked_token_capacity": 5, "masked_region_capacity": 3})
    counts = [b.counts() for _, batches, _ in load(corpus, 5, wanted) for b in batches]
    assert max(c["tokens"] for c in counts) == 5 and max(c["regions"] for c in counts) == 3


def test_derived_mask_capacities_drop_nothing(corpus):
    for text in ("msm_paper", "msm_released", "mlm"):
        for regions in ("mrm_paper", "moc"):
            objectives = {"mlm" if text == "mlm" else "msm": 1.0, "moc": 1.0}
            wanted = settings(
                objectives=objectives, masks={"text": text, "regions": regions}, data={"token_budget": 600}
            )
            tokens = token_table(corpus, WordTokenizer(), 12)
            plan = Plan(corpus, tokens, wanted)
            plan.close()
            counts = [b.counts() for _, batches, _ in load(corpus, 5, wanted) for b in batches]
            assert max(c["tokens"] for c in counts) < plan.capacities.masked_tokens
            assert max(c["regions"] for c in counts) < plan.capacities.masked_regions


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


@pytest.mark.parametrize("evidence", ["labels", None])
def test_stores_without_distributions(tmp_path, evidence):
    write_store(tmp_path / "s.h5", 20, evidence=evidence)
    with Corpus([tmp_path / "s.h5"]) as corpus:
        with pytest.raises(ValueError, match=r"objectives: mrm cannot be served: the data holds"):
            load(corpus, 1, settings())
        has = settings(
            objectives={"msm": 1.0, "moc" if evidence else "mrfr": 1.0, "itm": 1.0}, masks={"regions": "moc"}
        )
        (_, batches, _), *_ = load(corpus, 1, has)
        assert sum(batch.counts()["regions"] for batch in batches) > 0
        for batch in batches:
            assert batch.class_probs_NK is None and (batch.class_labels_N is not None) == (
                evidence == "labels"
            )
            if evidence:
                pair_N = torch.searchsorted(batch.cu_regions, batch.masked_regions_N, right=True) - 1
                rows_N = batch.masked_regions_N - batch.cu_regions[pair_N]
                _, labels = corpus.read_evidence(batch.images_P[pair_N].numpy(), rows_N.numpy())
                assert batch.class_labels_N.tolist() == labels.tolist()


def test_evidence_is_not_read_where_no_objective_asks_for_it(corpus, monkeypatch):
    monkeypatch.setattr(corpus, "read_evidence", None, raising=False)
    (_, batches, _), *_ = load(corpus, 1, settings(objectives={"msm": 1.0, "mrfr": 1.0, "itm": 1.0}))
    assert batches[0].class_probs_NK is None and batches[0].class_labels_N is None
    assert len(batches[0].masked_regions_N) > 0


def test_a_failure_in_a_thread_reaches_the_caller(corpus, monkeypatch):
    def fail(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(corpus, "read", fail, raising=False)
    with pytest.raises(OSError, match="the disk is gone"):
        load(corpus, 1)


def test_after_a_failure_the_same_step_comes_again(corpus, monkeypatch):
    wanted = settings(**MIXED, data={"threads": 2})
    expected = load(corpus, 5, wanted)
    tokens = token_table(corpus, WordTokenizer(), 12)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    reads, failing = count(), {3, 9, 10}  # in the first step, then twice in a row in the third one
    read = corpus.read

    def unsteady(*arguments):
        if next(reads) in failing:
            raise OSError("the disk is away")
        return read(*arguments)

    monkeypatch.setattr(corpus, "read", unsteady, raising=False)
    failures, found = 0, []
    with Loader(Preparer(corpus, tokens, plan, wanted, VOCABULARY), plan, wanted) as loader:
        while len(found) < 5:
            try:
                step = next(loader)
            except OSError:
                failures += 1
                continue
            found.append((step.numbers, [b._map(torch.clone) for b in step.batches], step.position))
    assert failures >= 2
    for (_, ours, position), (_, theirs, where) in zip(found, expected, strict=True):
        assert position == where
        for one, two in zip(ours, theirs, strict=True):
            assert_same(one, two)


@pytest.fixture
def uneasy_disk(monkeypatch):
    """A disk whose next reads fail: [errors still to come], [seconds that were waited]."""
    errors, waited, preadv = [], [], os.preadv

    def failing(fd, buffers, *where):
        if len(where) == 2:  # only from the page cache: not this time
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        if errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return preadv(fd, buffers, *where)

    monkeypatch.setattr(os, "preadv", failing)
    monkeypatch.setattr(direct_reader.time, "sleep", waited.append)
    return errors, waited


def test_a_read_that_fails_for_a_moment_is_tried_again_and_told(corpus, uneasy_disk, caplog):
    errors, waited = uneasy_disk
    expected = load(corpus, 2)
    errors += [errno.ESTALE, errno.EIO]
    for (_, ours, _), (_, theirs, _) in zip(load(corpus, 2), expected, strict=True):
        for one, two in zip(ours, theirs, strict=True):
            assert_same(one, two)
    assert not errors and len(waited) == 2 == len(caplog.messages)
    assert all(re.search(r"dataset '\w+': row \d+ cannot be read", told) for told in caplog.messages)


def test_a_read_that_keeps_failing_names_file_and_row(corpus, uneasy_disk):
    errors, waited = uneasy_disk
    store = corpus.stores[0]
    first = int(store.offsets[5])
    errors += [errno.EIO] * 99
    told = rf"{re.escape(str(store.path))}: dataset 'features': row {first} cannot be read \(Input/output error\)"
    with pytest.raises(StoreError, match=told + " after 4 tries; .* same command"):
        corpus.read(np.array([5]), np.array([2]))
    assert waited == list(direct_reader.RETRY_AFTER)
    errors[:] = [errno.EBADF]
    with pytest.raises(StoreError, match=r"row 0 cannot be read \(Bad file descriptor\); see to"):
        store.read_rows("features", 0, 1)
    assert len(waited) == len(direct_reader.RETRY_AFTER)


def test_checksums_are_verified_where_asked_for(tmp_path):
    write_store(tmp_path / "s.h5", 20)
    with Corpus([tmp_path / "s.h5"]) as corpus:
        with open(tmp_path / "s.h5", "r+b") as file:
            file.seek(corpus.stores[0].extents["features"].offset + 5)
            file.write(b"\x7f")
        load(corpus, 3)
        with pytest.raises(StoreError, match=r"s.h5: .*'0-0'"):
            load(corpus, 3, settings(data={"verify_checksums": True}))


@pytest.fixture
def damaged(tmp_path):
    """A store whose images 3 and 11 have changed on the disk, and what it was."""
    write_store(tmp_path / "s.h5", 20)
    whole = (tmp_path / "s.h5").read_bytes()
    with Corpus([tmp_path / "s.h5"]) as corpus:
        extent, first = corpus.stores[0].extents["features"], corpus.stores[0].offsets
        with open(tmp_path / "s.h5", "r+b") as file:
            for image in (3, 11):
                file.seek(extent.offset + int(first[image]) * extent.row_bytes)
                file.write(b"\xff" * extent.row_bytes)
        (tmp_path / "whole").mkdir()
        (tmp_path / "whole" / "s.h5").write_bytes(whole)
        yield corpus


def test_damaged_images_stay_in_their_batch_and_count_for_nothing(damaged):
    wanted = settings(data={"skip_damaged": 99, "token_budget": 120})
    with Corpus([damaged.paths[0].parent / "whole" / "s.h5"]) as whole:
        sound = load(whole, 2, settings(data={"token_budget": 120}))
    left_out = 0
    for (_, ours, _), (_, theirs, _) in zip(load(damaged, 2, wanted), sound, strict=True):
        for batch, good in zip(ours, theirs, strict=True):
            assert (batch.cu_text == good.cu_text).all() and (batch.cu_regions == good.cu_regions).all()
            bad_P = np.isin(batch.images_P, [3, 11])
            left_out += bad_P.sum()
            assert len(batch.damaged) == bad_P.sum()
            assert (batch.is_match_P[bad_P] == -100).all()
            assert (batch.is_match_P[~bad_P] == good.is_match_P[~bad_P]).all()
            for rows, cu in (
                (batch.masked_tokens_M, batch.cu_text),
                (batch.masked_regions_N, batch.cu_regions),
            ):
                pair = np.searchsorted(cu.numpy(), rows.numpy(), side="right") - 1
                assert not bad_P[pair].any()
            bad_R = np.repeat(bad_P, np.diff(batch.cu_regions))
            assert not batch.features_RD[bad_R].any() and torch.isfinite(batch.boxes_R5).all()
            assert torch.equal(batch.features_RD[~bad_R], good.features_RD[~bad_R])
            assert torch.equal(batch.boxes_R5[~bad_R], good.boxes_R5[~bad_R])
            assert all("s.h5" in told and ("'0-3'" in told or "'0-11'" in told) for told in batch.damaged)
    assert left_out >= 6
    apart = [load(damaged, 2, wanted, rank, 2) for rank in range(2)]
    for step, (_, batches, _) in enumerate(load(damaged, 2, wanted)):
        for number, batch in enumerate(batches):
            same = apart[number % 2][step][1][number // 2]
            assert torch.equal(batch.features_RD, same.features_RD)
            assert torch.equal(batch.is_match_P, same.is_match_P)


def test_boxes_of_an_image_of_unknown_size_are_shares_already():
    boxes = np.array([[0.1, 0.2, 0.5, 0.4], [10, 20, 50, 40]], np.float32)
    shares = box_shares(boxes, np.array([1, 1]), np.array([[0, 0], [100, 200]]))
    np.testing.assert_allclose(shares, [[0.1, 0.2, 0.5, 0.4, 0.08], [0.1, 0.1, 0.5, 0.2, 0.04]], rtol=1e-6)


def test_pairs_are_listed_longest_first(corpus):
    for _, batches, _ in load(corpus, 3):
        for batch in batches:
            text_P, regions_P = batch.cu_text.diff(), batch.cu_regions.diff()
            for order_P, keys_P in zip(batch.order_3P, (text_P, regions_P, text_P + regions_P), strict=True):
                assert sorted(order_P.tolist()) == list(range(batch.pairs))
                assert (keys_P[order_P.long()].diff() <= 0).all()
