"""The LMDB that ViLBERT and InterBERT are pretrained from: TensorPack's, a list a record, the caption inside."""

from pathlib import Path

import numpy as np

from interbert.sources.importers import safe_msgpack
from interbert.sources.importers.lmdb_source import LmdbSource
from interbert.sources.importers.record import ImageRecord, ImportFault, distributions

_FIELDS = ("features", "class probabilities", "boxes", "count", "image_h", "image_w", "image_id", "caption")


def tensorpack_lmdb(inputs: list[Path]) -> LmdbSource:
    return LmdbSource(inputs, safe_msgpack.loads, _record)


def _record(key: bytes, value: bytes) -> ImageRecord:
    item = safe_msgpack.loads(value)
    if not isinstance(item, list) or len(item) != len(_FIELDS):
        size = f"of {len(item)}" if isinstance(item, list) else type(item).__name__
        raise ImportFault(f"a list of {len(_FIELDS)} is expected ({', '.join(_FIELDS)}), not one {size}")
    features, probs, boxes, count, height, width, image_id, caption = item
    count = int(count)
    for name, array in (("features", features), ("class probabilities", probs), ("boxes", boxes)):
        if not isinstance(array, np.ndarray) or array.ndim != 2 or len(array) < count:
            raise ImportFault(
                f"{name}: {getattr(array, 'shape', type(array).__name__)}, {count} rows expected"
            )
    image_id, caption = (v.decode() if isinstance(v, bytes) else str(v) for v in (image_id, caption))
    return ImageRecord(
        image_id,
        int(width),
        int(height),
        boxes[:count, :4],
        features[:count],
        distributions(probs[:count], "class probabilities"),
        captions=[caption] if caption.strip() else [],
    )
