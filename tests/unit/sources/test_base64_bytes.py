import base64
import binascii

import numpy as np
import pytest

from interbert.sources.features.fields.base64_bytes import _BLOCK, decoded

SIZES = [
    0,
    1,
    3071,
    3072,
    3073,
    3074,
    100_000,
    _BLOCK * 3 // 2 - 1,
    _BLOCK * 3 // 2,
    _BLOCK * 3 // 2 + 1,
    400_001,
]


@pytest.mark.parametrize("size", SIZES)
def test_the_bytes_come_back(size):
    raw = np.random.default_rng(size).bytes(size)
    text = base64.b64encode(raw)
    assert bytes(decoded(text)) == raw and bytes(decoded(memoryview(b"x" + text)[1:])) == raw


@pytest.mark.parametrize("place", [0, 1, 4097, -18, -2])
@pytest.mark.parametrize("wrong", [b"!", b"\n", b"=", b"\xff"])
def test_what_is_not_of_the_alphabet_is_refused_wherever_it_stands(place, wrong):
    text = bytearray(base64.b64encode(np.random.default_rng(1).bytes(90_000)))
    text[place : (place + 1) or None] = wrong
    with pytest.raises(binascii.Error):
        decoded(bytes(text))
