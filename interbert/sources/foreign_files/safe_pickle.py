"""Pickles from strangers: plain containers, numbers, strings and numpy arrays come out, anything else is refused."""

import pickle
from typing import Any

from interbert.sources.record import ImportFault

_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
"""What pickled arrays and containers need, and no more: none of these runs anything else."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)  # as Python 2 called it
        if (module, name) not in _ALLOWED:
            raise ImportFault(
                f"the pickle asks for {module}.{name}, which data does not need: it would run code; do not trust "
                "this file"
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)

    def persistent_load(self, _: Any) -> Any:
        raise ImportFault("the pickle refers to objects outside of it; do not trust this file")


class _InPlace:
    """A file that hands parts of the bytes on where they lie: io.BytesIO would copy them."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._place = memoryview(data), 0

    def read(self, size: int = -1) -> memoryview:
        start, end = self._place, len(self._data) if size < 0 else self._place + size
        self._place = min(end, len(self._data))
        return self._data[start : self._place]

    def readinto(self, into: memoryview) -> int:
        found = self.read(len(into))
        into[: len(found)] = found
        return len(found)

    def readline(self) -> bytes:
        """A long one too: pickles of the oldest kind have whole texts in a line."""
        begun, end, size = b"", -1, 1 << 9
        while end < 0 and len(begun) < len(self._data) - self._place:
            size *= 8
            begun = bytes(self._data[self._place : self._place + size])
            end = begun.find(b"\n")
        line = begun if end < 0 else begun[: end + 1]
        self._place += len(line)
        return line


def loads(data: bytes | memoryview) -> Any:
    try:
        return _Restricted(_InPlace(data), encoding="latin1").load()
    except ImportFault:
        raise
    except Exception as error:  # whatever a broken or hostile pickle makes the unpickler raise
        raise ImportFault(f"not a readable pickle ({type(error).__name__}: {error})") from None
