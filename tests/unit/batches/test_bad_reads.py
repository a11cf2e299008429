"""Reads that fail, for a moment or for good, and images that are not what they were."""

import errno
import os
import re
import shutil
from itertools import count

import numpy as np
import pytest
import torch
from loaded import MIXED, VOCABULARY, assert_same, load
from small_world import WordTokenizer, damage, settings, write_store

from interbert.batches.loader import Loader
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for
from interbert.store import direct_reader
from interbert.store.store import StoreError


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
    (tmp_path / "whole").mkdir()
    shutil.copy(tmp_path / "s.h5", tmp_path / "whole")
    damage(tmp_path / "s.h5", (3, 11))
    with Corpus([tmp_path / "s.h5"]) as corpus:
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
