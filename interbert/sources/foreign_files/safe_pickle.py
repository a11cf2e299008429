"""Pickles from strangers: plain containers, numbers, strings and numpy arrays come out, anything else is refused."""

import io
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


def loads(data: bytes) -> Any:
    try:
        return _Restricted(io.BytesIO(data), encoding="latin1").load()
    except ImportFault:
        raise
    except Exception as error:  # whatever a broken or hostile pickle makes the unpickler raise
        raise ImportFault(f"not a readable pickle ({type(error).__name__}: {error})") from None
