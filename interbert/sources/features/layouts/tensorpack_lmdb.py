"""TensorPack's LMDB, which ViLBERT, InterBERT and VOLTA are pretrained from: a list a record, the caption inside."""

from pathlib import Path
from typing import Any

from interbert.sources.features.fields.choices import Choices
from interbert.sources.features.layouts.lmdb_source import LmdbSource
from interbert.sources.foreign_files.lmdb_files import text_of, unpacked
from interbert.sources.record import ImportFault

_END = ("boxes", "num_boxes", "image_h", "image_w", "image_id", "caption")
LAYOUTS = {
    7: ("features", *_END),
    8: ("features", "cls_prob", *_END),
    13: (
        "features", "cls_prob", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "attr_scores", *_END
    ),
}  # fmt: skip
"""Fields by their number: without class probabilities, ViLBERT's, VOLTA's."""


def tensorpack_lmdb(inputs: list[Path], choices: Choices) -> LmdbSource:
    return LmdbSource(inputs, choices, _row)


def _row(key: bytes, value: bytes | memoryview) -> dict[str, Any]:
    item = unpacked(value)  # MessagePack of old, pickles since 0.9.9
    if isinstance(item, dict):
        row = {text_of(name): content for name, content in item.items()}
    elif isinstance(item, list | tuple) and len(item) in LAYOUTS:
        row = dict(zip(LAYOUTS[len(item)], item, strict=True))
    else:
        size = f"of {len(item)}" if isinstance(item, list | tuple) else type(item).__name__
        raise ImportFault(f"a list of 8 is expected ({', '.join(LAYOUTS[8])}), or of 7 or 13, not one {size}")
    if "image_id" not in row and "img_id" not in row:
        raise ImportFault(f"lacks image_id; it has {', '.join(row)}")
    return row
