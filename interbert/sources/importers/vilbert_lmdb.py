"""ViLBERT's and InterBERT's LMDB for fine-tuning: image id -> pickled dictionary, arrays as base64 of float32."""

from pathlib import Path

from interbert.sources.importers import safe_pickle
from interbert.sources.importers.lmdb_source import LmdbSource, need
from interbert.sources.importers.record import ImageRecord, decoded, distributions


def vilbert_lmdb(inputs: list[Path]) -> LmdbSource:
    return LmdbSource(inputs, safe_pickle.loads, _record)


def _record(key: bytes, value: bytes) -> ImageRecord:
    item = safe_pickle.loads(value)
    image_id, height, width, count, boxes, features = need(
        item, "image_id", "image_h", "image_w", "num_boxes", "boxes", "features"
    )
    record = ImageRecord(
        _text(image_id),
        int(width),
        int(height),
        decoded(boxes, "boxes", 4, int(count)),
        decoded(features, "features", None, int(count)),
    )
    if item.get("cls_prob") is not None:
        record.class_probs_NK = distributions(
            decoded(item["cls_prob"], "cls_prob", None, int(count)), "cls_prob"
        )
    return record


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
