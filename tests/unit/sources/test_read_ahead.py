import threading

import numpy as np
import pytest

from interbert.sources.importing import read_ahead
from interbert.sources.importing.read_ahead import ReadAhead
from interbert.sources.importing.side_by_side import SideBySide, joined
from interbert.sources.record import ImageRecord, ImportFault


class Counted:
    """A source that only one at a time may use, and that notes who does."""

    files, class_names, attribute_names = (), None, None

    def __init__(self, kind: str = "<f4") -> None:
        self.keys, self.kind = range(40), kind
        self.read_numbers: list[int] = []
        self.readers: set[int] = set()
        self._used = threading.Lock()

    def where(self, number: int) -> str:
        return f"row {number}"

    def name(self, number: int) -> str:
        assert self._used.acquire(blocking=False), "used by two at once"
        self._used.release()
        return str(number)

    def read(self, number: int) -> ImageRecord:
        assert self._used.acquire(blocking=False), "used by two at once"
        try:
            self.readers.add(threading.get_ident())
            self.read_numbers.append(number)
            if number == 17:
                raise ImportFault("bad")
            features = np.full((2, 3), number + 1 / 3, self.kind)
            return ImageRecord(str(number), 0, 0, np.zeros((2, 4)), features)
        finally:
            self._used.release()


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_rows_come_in_their_order_out_of_one_thread(kind):
    source = Counted(kind)
    with ReadAhead(source, range(10, 30)) as ahead:
        for number in range(10, 30):
            assert ahead.name(number) == str(number) and ahead.where(number) == f"row {number}"
            if number == 17:
                with pytest.raises(ImportFault, match="bad"):
                    ahead.read(number)
                continue
            record = ahead.read(number)
            assert record.image_id == str(number)
            assert record.features_ND.dtype == (np.float16 if kind != "<f8" else np.float64)
            np.testing.assert_array_equal(record.features_ND.astype("<f2"), np.float16(number + 1 / 3))
    assert source.read_numbers == list(range(10, 30))
    assert len(source.readers) == 1 and threading.get_ident() not in source.readers


@pytest.mark.parametrize(("most", "rows"), [(1 << 20, 24), (1, 3)])
def test_it_reads_no_further_than_a_few_rows_and_ends_with_its_context(most, rows, monkeypatch):
    monkeypatch.setattr(read_ahead, "_BYTES", most)
    source = Counted()
    with ReadAhead(source, range(40)) as ahead:
        ahead.read(0)
    assert 0 < len(source.read_numbers) <= rows
    assert not any(thread.name.startswith("rows") for thread in threading.enumerate())


def test_rows_that_lie_side_by_side_are_joined_where_they_are():
    rng, room = np.random.default_rng(0), SideBySide(3)
    given = [rng.random((rows, 4), np.float32) for rows in (2, 3, 1, 2)]
    found = [room.halves(values) for values in given]
    assert found[3].base is not found[0].base, "there is no room for the last"
    for values, halves in zip(given, found, strict=True):
        np.testing.assert_array_equal(halves, values.astype("<f2"))
    whole = joined(found[:3])
    assert np.shares_memory(whole, found[0]) and np.shares_memory(whole, found[2])
    for several in (
        found[:3],
        found[1:3],
        found,
        found[::-1],
        [found[0], found[2]],
        [found[0][::-1], found[1]],
    ):
        np.testing.assert_array_equal(joined(several), np.concatenate(several))
    assert not np.shares_memory(joined([found[0], found[2]]), found[0])


@pytest.mark.parametrize("values", [None, np.ones((2, 3)), np.ones((2, 3), "<f2"), np.ones(3, np.float32)])
def test_what_is_no_table_of_float32_is_for_whoever_stores_it(values):
    assert SideBySide(2).halves(values) is values
