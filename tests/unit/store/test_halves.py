"""Our conversion to float16 against numpy's, which is exact."""

import warnings

import numpy as np
import pytest

from interbert.store import halves
from interbert.store.halves import as_floats, as_halves

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
FINITE = HALVES[np.isfinite(HALVES)]


def made(name: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    match name:
        case "bits":
            return rng.integers(0, 1 << 32, 300_000, dtype=np.uint32).view(np.float32)
        case "shares":
            return rng.dirichlet(np.full(1601, 0.05), 40).astype(np.float32)
        case "halves":
            return HALVES
        case "just above":
            return np.nextafter(FINITE, np.float32(np.inf))
        case "just below":
            return np.nextafter(FINITE, np.float32(-np.inf))
        case "half way":
            return (FINITE + np.roll(FINITE, 1)) / 2
        case "half way in the smallest":
            return (np.arange(2049, dtype=np.float32) + 0.5) * np.float32(2.0**-24)
    return np.zeros((0, 8), np.float32)


@pytest.fixture(autouse=True, params=["numbers", "torch"])
def way(request, monkeypatch):
    monkeypatch.setattr(halves, "_torch", None)
    if request.param == "torch":
        halves.hasten()


NAMES = [
    "bits",
    "shares",
    "halves",
    "just above",
    "just below",
    "half way",
    "half way in the smallest",
    "none",
]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_numpy_makes(name):
    values = made(name)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = values.astype(np.float16)
        found = as_halves(values)
    assert found.dtype == np.dtype("<f2") and found.shape == values.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(found[known].view(np.uint16), wanted[known].view(np.uint16))


def test_other_types_and_orders():
    for values in (
        np.arange(6.0).reshape(2, 3),
        np.arange(6),
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
    ):
        found = as_halves(values)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, values.astype(np.float16))


def test_and_back():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(2, -1)
    np.testing.assert_array_equal(as_floats(halves), halves.astype(np.float32))
    np.testing.assert_array_equal(as_floats(halves.T), halves.T.astype(np.float32))
    np.testing.assert_array_equal(as_floats(np.arange(3.0)), np.arange(3, dtype=np.float32))


def test_memory_that_is_not_to_be_written_to_and_begins_anywhere():
    """As it lies in a mapped file: nobody is warned of it, for nobody writes to it."""
    raw = np.random.default_rng(2).standard_normal(40_000).astype("<f4").tobytes()
    values = np.frombuffer(b"x" + raw, "<f4", offset=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = as_halves(values)
        assert found.flags.writeable and not values.flags.writeable
        np.testing.assert_array_equal(found, values.astype("<f2"))
        np.testing.assert_array_equal(as_floats(np.frombuffer(found.tobytes(), "<f2")), found.astype("f4"))
