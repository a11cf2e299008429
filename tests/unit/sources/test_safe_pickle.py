"""Pickles of every age, read from memory that is not theirs."""

import pickle

import numpy as np
import pytest

from interbert.sources.foreign_files import safe_pickle
from interbert.sources.record import ImportFault

TEXT = "QUJD" * 20_000
ARRAY = np.arange(30_000, dtype="<f4").reshape(100, 300)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_read_is_what_was_written(protocol):
    given = {
        "text": TEXT,
        "short": "a\nb",
        "bytes": TEXT.encode(),
        "array": ARRAY,
        "number": 1 << 70,
        "none": None,
    }
    memory = bytearray(pickle.dumps(given, protocol))
    found = safe_pickle.loads(memoryview(memory).toreadonly())
    memory[:] = bytes(len(memory))  # nothing that was read may lie in it
    np.testing.assert_array_equal(found.pop("array"), ARRAY)
    assert found == {name: value for name, value in given.items() if name != "array"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_cut_one_is_told(protocol):
    whole = pickle.dumps({"text": TEXT, "array": ARRAY}, protocol)
    for size in (0, 1, len(whole) // 3, len(whole) - 1):
        with pytest.raises(ImportFault, match="not a readable pickle"):
            safe_pickle.loads(whole[:size])
