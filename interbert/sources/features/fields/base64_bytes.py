"""base64 of long texts by tables: twice as quick as the library's, which goes by a character at a time."""

import binascii
from functools import cache

import numpy as np

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_GROUP = 16
"""Characters that make a whole number of words of 32 bits."""
_BLOCK = 1 << 16
"""Pairs of characters at a time: what stays in the cache."""
_WORTH = 4096
_NONE = 1 << 31


def decoded(text: bytes | memoryview) -> memoryview | bytes:
    """The bytes; binascii.Error where it is no base64 without anything else in it."""
    if len(text) < _WORTH:
        return binascii.a2b_base64(text, strict_mode=True)
    body = (len(text) - 1) // _GROUP * _GROUP  # the last characters may be padding
    end = binascii.a2b_base64(text[body:], strict_mode=True)
    out = np.empty(body * 3 // 4 + len(end), np.uint8)
    words = out[: body * 3 // 4].view("<u4")
    pairs = np.frombuffer(text, "<u2", body // 2)
    for start in range(0, len(pairs), _BLOCK):
        part = pairs[start : start + _BLOCK]
        if not _decode(part, words[start * 3 // 8 : (start + len(part)) * 3 // 8].reshape(-1, 3)):
            return binascii.a2b_base64(text, strict_mode=True)  # which says what is wrong
    out[body * 3 // 4 :] = np.frombuffer(end, np.uint8)
    return out.data


def _decode(pairs: np.ndarray, out_G3: np.ndarray) -> bool:
    """Groups of eight pairs into three words each; whether all of them were of the alphabet."""
    first, second = _tables()
    threes = first.take(pairs[0::2])
    threes |= second.take(pairs[1::2])
    if threes.max() >= 1 << 24:
        return False
    a, b, c, d = threes.reshape(-1, 4).T  # three bytes in each
    np.bitwise_or(a, b << np.uint32(24), out=out_G3[:, 0])
    np.bitwise_or(b >> np.uint32(8), c << np.uint32(16), out=out_G3[:, 1])
    np.bitwise_or(c >> np.uint32(16), d << np.uint32(8), out=out_G3[:, 2])
    return True


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """What a pair of characters, as a little-endian number, gives of three bytes as the first pair and as the second;
    beyond three bytes where it is no such pair."""
    values = np.full(256, 64, np.uint32)
    values[list(_ALPHABET)] = np.arange(64)
    pair = np.arange(1 << 16)
    one, two = values[pair & 255], values[pair >> 8]
    bits = one << 6 | two
    first = bits >> 4 | (bits & 15) << 12
    second = bits >> 8 << 8 | (bits & 255) << 16
    wrong = (one > 63) | (two > 63)
    return tuple(np.where(wrong, _NONE, half).astype(np.uint32) for half in (first, second))
