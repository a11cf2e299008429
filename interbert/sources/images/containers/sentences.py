"""Captions as they are written beside images: in text files, in JSON, in columns of tables."""

import json
from collections.abc import Sequence
from typing import Any

from interbert.sources.images.containers.container import ImageError

NAMES = ("caption", "captions", "text", "texts", "sentence", "sentences", "txt")
"""What captions are called, in JSON and in columns."""
_WITHIN = ("raw", *NAMES)
"""And in a sentence that is an object."""


def sentences_of(value: Any, where: str) -> list[str]:
    """From a text, a list of texts, or objects that have one each, as Karpathy's `raw`."""
    if value is None:
        return []
    if isinstance(value, str):
        text = " ".join(value.split())
        return [text] if text else []
    if isinstance(value, dict):
        name = next((name for name in _WITHIN if name in value), None)
        if name is not None:
            return sentences_of(value[name], where)
    if isinstance(value, list):
        return [sentence for item in value for sentence in sentences_of(item, where)]
    raise ImageError(f"{where}: {str(value)!r:.60} is no caption, nor a list of them")


def sentences_of_text(data: bytes, where: str) -> list[str]:
    """A caption a line."""
    lines = [line for line in map(str.split, _decoded(data, where).splitlines()) if line]
    if lines and all(_is_number(word) for line in lines for word in line):
        raise ImageError(
            f"{where}: numbers and nothing else, such as labels of boxes, no captions; with --ignore-beside, "
            "files beside images are left alone"
        )
    return [" ".join(line) for line in lines]


def sentences_of_json(data: bytes, names: Sequence[str], where: str) -> list[str] | None:
    """None where it is an object without any of these names."""
    try:
        tree = json.loads(_decoded(data, where))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ImageError(f"{where}: not JSON ({error})") from None
    if not isinstance(tree, dict):
        return sentences_of(tree, where)
    found = [name for name in names or NAMES if name in tree]
    if not found:
        return None
    return [sentence for name in found for sentence in sentences_of(tree[name], f"{where}, {name}")]


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImageError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
