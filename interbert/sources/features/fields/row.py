"""One image's fields under its writer's names, asked for by ours."""

import numbers as python_numbers
from typing import Any

import numpy as np

from interbert.sources.features.fields.numbers import boxes_from, unquoted
from interbert.sources.record import ImportFault

NAMES = {
    **dict.fromkeys(("image_id", "img_id", "product_id", "feature_path", "id"), "image_id"),
    **dict.fromkeys(("image_w", "img_w", "image_width", "width"), "width"),
    **dict.fromkeys(("image_h", "img_h", "image_height", "height"), "height"),
    **dict.fromkeys(("sizes", "raw_sizes"), "size"),  # (height, width)
    **dict.fromkeys(("num_boxes", "num_bbox", "preds_per_image"), "count"),
    **dict.fromkeys(("boxes", "bbox", "image_bb"), "boxes"),
    **dict.fromkeys(("norm_bb", "normalized_boxes"), "shares"),
    **dict.fromkeys(("features", "x", "roi_features", "image_features", "feature", "feat"), "features"),
    **dict.fromkeys(("cls_prob", "soft_labels", "class_probs"), "probs"),
    **dict.fromkeys(("objects_id", "obj_id", "obj_ids", "class_labels", "objects"), "labels"),
    **dict.fromkeys(("objects_conf", "obj_conf", "obj_probs", "conf"), "confidence"),
    **dict.fromkeys(("attrs_id", "attr_id", "attr_ids"), "attributes"),
    **dict.fromkeys(("attrs_conf", "attr_conf", "attr_probs"), "attribute_confidence"),
}
"""Their names by ours; of several in one record the first in this list is read."""
_SHOWN = 100


class Row:
    """One image's fields: asked for by our names, told of by the writer's."""

    def __init__(self, given: dict[str, Any], counted: bool = True) -> None:
        """counted: whether the number of regions is to be believed."""
        if not isinstance(given, dict):
            raise ImportFault(f"a {type(given).__name__}, not a dictionary")
        self._given = given
        self._theirs: dict[str, str] = {}
        for theirs, ours in NAMES.items():
            if theirs in given and not _is_nothing(given[theirs]) and (counted or ours != "count"):
                self._theirs.setdefault(ours, theirs)

    def __contains__(self, name: str) -> bool:
        return name in self._theirs

    def get(self, name: str) -> tuple[Any, str]:
        """(value, what the writer calls it)"""
        if name not in self._theirs:
            wanted = next(theirs for theirs, ours in NAMES.items() if ours == name)
            raise ImportFault(f"lacks {wanted}; it has {', '.join(map(str, self._given))[:_SHOWN]}")
        theirs = self._theirs[name]
        return self._given[theirs], theirs

    def whole(self, name: str) -> int:
        value, theirs = self.get(name)
        try:
            if isinstance(value, np.ndarray | list) and np.size(value) == 1:
                value = np.asarray(value).reshape(-1)[0]
            if isinstance(value, bytes | str):
                value = float(unquoted(value))
            if isinstance(value, python_numbers.Real) and value == int(value):
                return int(value)
        except (ValueError, OverflowError):
            pass
        raise ImportFault(f"{theirs} is {value!r:.40}, not a whole number")

    def text(self, name: str) -> str:
        value, theirs = self.get(name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        value = unquoted(value) if isinstance(value, bytes | str) else value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return text.removesuffix(".npy") if theirs == "feature_path" else text

    def count(self) -> int | None:
        return self.whole("count") if "count" in self else None

    def is_overcounted(self) -> bool:
        """Whether it counts more regions than its arrays have, all of them as many."""
        arrays = [self.get(name)[0] for name in ("features", "boxes") if name in self]
        if not arrays or not all(isinstance(array, np.ndarray) and array.ndim == 2 for array in arrays):
            return False
        there = {len(array) for array in arrays}
        return len(there) == 1 and (self.count() or 0) > there.pop()

    def is_empty(self) -> bool:
        """Of no region, as it says itself."""
        return "count" in self and self.whole("count") == 0

    def boxes(self, halves: bool) -> np.ndarray | None:
        """[M, 4], M at least the count."""
        name = next((name for name in ("boxes", "shares") if name in self), None)
        return None if name is None else boxes_from(*self.get(name), self.count(), halves)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, np.ndarray) and value.dtype == object and value.size < 1)


def texts_from(value: Any, field: str) -> list[str]:
    """One text, or a list of them; nothing where there is none."""
    if value is None:
        return []
    values = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
    if not all(isinstance(text, str | bytes) for text in values):
        raise ImportFault(f"{field} is {value!r:.60}; a text, or a list of texts, is expected")
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in values]
