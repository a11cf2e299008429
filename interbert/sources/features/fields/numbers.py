"""Arrays of numbers out of what writers put into a field: base64 of their bytes, an array, a list."""

import binascii
from typing import Any

import numpy as np
import pybase64

from interbert.sources.record import ImportFault

FLOATS = {2: "<f2", 4: "<f4", 8: "<f8"}
_NO_PIXEL = 1e6
"""Beyond any coordinate: numbers of another type read as boxes are mostly there."""


def is_text(value: Any) -> bool:
    """Whether the field is of bytes as text, so that nothing but its length tells of types and shapes."""
    return isinstance(value, bytes | str | bytearray | memoryview)


def from_base64(text: bytes | memoryview | str, field: str) -> bytes:
    try:
        text = unquoted(text)
        begun = text[:100].encode() if isinstance(text, str) else bytes(text[:100])
        if b"\n" in begun:  # as `encodestring` breaks lines
            text = text.replace("\n", "") if isinstance(text, str) else bytes(text).replace(b"\n", b"")
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        if (found := _from_urls_base64(text)) is not None:
            return found
        raise ImportFault(f"{field}: not base64 ({error})") from None


def _from_urls_base64(text: Any) -> bytes | None:
    """Of the alphabet for URLs, and without what fills the last four up."""
    try:
        text = text.encode("ascii") if isinstance(text, str) else text
        return pybase64.b64decode(bytes(text) + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None


def unquoted(text: Any) -> Any:
    """A cell without the b'…' that Python 3 puts around bytes which a program for Python 2 writes as text."""
    marks = (b"b'", b'b"') if isinstance(text, bytes | bytearray | memoryview) else ("b'", 'b"')
    return text[2:-1] if text[:2] in marks and text[-1:] == text[1:2] else text


def plain(value: Any, field: str) -> np.ndarray:
    """An array of numbers: no objects, no leading dimensions of one."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        raise ImportFault(f"{field}: its rows differ in length") from None
    if array.dtype.kind not in "fiub":
        raise ImportFault(f"{field}: of type {array.dtype}, numbers expected")
    while array.ndim > 2 and len(array) == 1:
        array = array[0]
    return array


def boxes_from(value: Any, field: str, count: int | None, halves: bool = False) -> np.ndarray:
    """[M, 4], M at least `count` rows: some writers keep more than they count. halves: float16 may be."""
    if not is_text(value):
        boxes = plain(value, field)
        if boxes.ndim != 2 or boxes.shape[1] < 4:
            raise ImportFault(f"{field}: of shape {boxes.shape}, four numbers a box expected")
        return _enough(boxes[:, :4], field, count)
    raw = from_base64(value, field)
    if count is None or len(raw) == 16 * count:
        return _as_rows(raw, field, 4, len(raw) // 16, "<f4")
    if halves and len(raw) == 8 * count:
        return _as_rows(raw, field, 4, count, "<f2")
    if len(raw) == 32 * count:
        boxes = _as_rows(raw, field, 4, count, "<f8")
        if (np.abs(boxes) < _NO_PIXEL).all():
            return boxes
    return _as_rows(raw, field, 4, max(len(raw) // 16, count), "<f4")


def matrix_from(value: Any, field: str, rows: int, kind: str, width: int | None = None) -> np.ndarray:
    """[rows, as many as there are]. kind: of the numbers where the field is text; width: what is known of them."""
    if is_text(value):
        raw = from_base64(value, field)
        if width is not None:
            kind = FLOATS.get(len(raw) // max(rows * width, 1), kind)
            return _as_rows(raw, field, width, rows, kind)
        wide = len(raw) // (max(rows, 1) * np.dtype(kind).itemsize)
        return _as_rows(raw, field, wide, rows, kind)
    array = plain(value, field)
    if array.ndim != 2:
        raise ImportFault(f"{field}: {array.ndim} dimensions, 2 expected")
    if len(array) != rows == array.shape[1]:
        array = array.T  # OpenVQA's: a column a region
    return _enough(array, field, rows)


def column_from(value: Any, field: str, rows: int, *, whole: bool = False) -> np.ndarray:
    """[rows] of numbers, or of whole ones."""
    if is_text(value):
        raw = from_base64(value, field)
        size = len(raw) // max(rows, 1)
        if size not in (1, *FLOATS) or size * rows != len(raw) or (size == 1 and not whole):
            raise ImportFault(f"{field}: {len(raw)} bytes, which are not {rows} numbers")
        array = _whole_from(raw, size) if whole else np.frombuffer(raw, FLOATS[size])
    else:
        array = plain(value, field)
        if array.size != max(array.shape, default=0):
            raise ImportFault(f"{field}: of shape {array.shape}, one number a region expected")
        array = _enough(array.reshape(-1), field, rows)
    if not whole:
        return array.astype(np.float32)
    if array.dtype.kind == "f" and not (np.floor(array) == array).all():
        raise ImportFault(f"{field}: {array[np.floor(array) != array][0]} is no whole number")
    return array.astype(np.int64)


def _whole_from(raw: bytes | memoryview, size: int) -> np.ndarray:
    """Whole numbers, or floating ones of whole value: as the one type, the other's are not small whole numbers."""
    if size in FLOATS:
        floats = np.frombuffer(raw, FLOATS[size])
        if np.isfinite(floats).all() and (np.floor(floats) == floats).all():
            return floats
    return np.frombuffer(raw, f"<i{size}")


def _as_rows(raw: bytes | memoryview, field: str, columns: int, rows: int, kind: str) -> np.ndarray:
    if rows < 1 or columns < 1 or len(raw) != rows * columns * np.dtype(kind).itemsize:
        of = f"{rows} x 4" if columns == 4 else f"{rows} rows"
        raise ImportFault(f"{field}: {len(raw)} bytes, which are not {of} of {np.dtype(kind)}")
    return np.frombuffer(raw, kind).reshape(rows, columns)


def _enough(array: np.ndarray, field: str, rows: int | None) -> np.ndarray:
    if rows is not None and len(array) < rows:
        raise ImportFault(f"{field}: {array.shape}, {rows} rows expected")
    return array
