"""MessagePack with numpy arrays as msgpack-numpy writes them; arrays of objects, which are pickles, are refused."""

from typing import Any

import msgpack
import numpy as np

from interbert.sources.record import ImportFault


def loads(data: bytes | memoryview) -> Any:
    try:
        return msgpack.unpackb(data, object_hook=_array, raw=False, strict_map_key=False)
    except ImportFault:
        raise
    except Exception as error:
        raise ImportFault(f"not readable MessagePack ({type(error).__name__}: {error})") from None


def _array(value: dict) -> Any:
    """msgpack-numpy's {nd, type, kind, shape, data}; its keys are bytes or, written with use_bin_type, strings."""
    value = {key.decode() if isinstance(key, bytes) else key: item for key, item in value.items()}
    if "nd" not in value:
        return value
    kind = value.get("type")
    kind = kind.decode() if isinstance(kind, bytes) else kind
    if not isinstance(kind, str) or np.dtype(kind).hasobject:
        raise ImportFault(f"an array of type {kind!r}, which is not of numbers; do not trust this file")
    values = np.frombuffer(value["data"], np.dtype(kind))
    return values.reshape(value["shape"]) if value["nd"] else values[0]
