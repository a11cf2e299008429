"""A disk that fills while items are put: what was answered is there, what was refused is not, and room helps."""

import errno
import os

import pytest
from small_search import addition, empty_index

from interbert.search.index.index import Index


def ids_of(index):
    return {row.id for row in index.rows(index.truth.numbers().tolist()).values()}


def fill(filler, left):
    told = os.statvfs(filler.parent)
    filler.write_bytes(b"\0" * (told.f_bavail * told.f_bsize - left))


def put_until_full(index, first):
    there = set()
    for number in range(first, first + 100_000):
        try:
            index.put([addition(number)])
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return there, number
        there.add(f"item-{number}")
    raise AssertionError("it was never full")


@pytest.mark.parametrize("exact_up_to", [10**9, 20])
def test_a_full_disk(tiny_disk, exact_up_to):
    path, filler = tiny_disk / "i", tiny_disk / "filler"
    empty_index(path).close()
    with Index.open(path, exact_up_to=exact_up_to) as index:
        for number in range(30):
            index.put([addition(number)])
    there = {f"item-{number}" for number in range(30)}
    for left in (20_000, 90_000, 150_000):
        with Index.open(path, exact_up_to=exact_up_to) as index:
            fill(filler, left)
            new, refused = put_until_full(index, 1000 * left)
            there |= new
            with pytest.raises(OSError):
                index.put([addition(refused)])
            assert ids_of(index) == there and len(index) == len(there)
            filler.unlink()
            index.put([addition(refused)])
            there.add(f"item-{refused}")
        with Index.open(path, exact_up_to=exact_up_to) as index:
            assert ids_of(index) == there and len(index) == len(there) and index.verify() == []


def test_a_snapshot_that_has_no_room_costs_nothing_but_time(tiny_disk, caplog):
    path, filler = tiny_disk / "i", tiny_disk / "filler"
    empty_index(path).close()
    with Index.open(path, exact_up_to=0) as index:
        index.put([addition(number) for number in range(100)])
    with Index.open(path, exact_up_to=0) as index:
        index.put([addition(number) for number in range(100, 200)])
        fill(filler, 8192)
    assert "no snapshot" in caplog.text
    filler.unlink()
    with Index.open(path, exact_up_to=0) as index:
        assert len(index) == 200 and index.verify() == []
        numbers, _ = index.search(addition(7).vector_W[None], 1)
        assert index.rows(numbers[0])[numbers[0][0]].id == "item-7"


def test_without_room_it_is_said_at_once_that_it_cannot_be_opened(tiny_disk):
    empty_index(tiny_disk / "i").close()
    fill(tiny_disk / "filler", 4096)
    with pytest.raises(ValueError, match="room on the disk"):
        Index.open(tiny_disk / "i")
    (tiny_disk / "filler").unlink()
    Index.open(tiny_disk / "i").close()
