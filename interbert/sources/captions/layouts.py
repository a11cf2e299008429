"""Which layout a file of captions has, by what is in it."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from interbert.sources.captions.coco import coco
from interbert.sources.captions.json_stream import JsonStream
from interbert.sources.captions.karpathy import karpathy
from interbert.sources.captions.layout import Layout
from interbert.sources.captions.mapping import mapping
from interbert.sources.captions.objects import IMAGES, TEXTS, fields_of, objects
from interbert.sources.captions.tables import table
from interbert.sources.captions.text_file import first_line, is_binary, lines, opened
from interbert.sources.captions.web import sbu
from interbert.sources.record import ImportFault

_LINE = 1 << 20
"""Characters of a first line that is looked at: an object that is longer is a whole file."""
_KEYS = 8
"""Of an object that are looked at: files are large."""


def recognise(path: Path, encoding: str) -> Layout:
    """ImportFault where it is no layout of captions, with what it has instead."""
    if is_binary(path, encoding):
        raise ImportFault(
            f"{path}: not a file of text; captions are JSON (also .gz), lines of it, CSV or TSV"
        )
    line = first_line(path, encoding, _LINE)
    with opened(path, encoding) as text:
        sign = JsonStream(path, text).peek()
    if not sign:
        raise ImportFault(f"{path}: empty, so it has no caption")
    if sign == "{":
        return _of_object(path, encoding, line)
    if sign == "[":
        return _of_array(path, encoding)
    found = table(path, encoding, line) if line is not None else None
    return found or _unknown(
        path, f"its first line is {(line or '')!r:.80}, which names no columns (such as `image_id,caption`)"
    )


def _of_object(path: Path, encoding: str, line: str | None) -> Layout:
    first = _loaded(line)
    if fields := fields_of(first):
        return objects(path, encoding, fields, in_lines=True)
    if isinstance(first, dict) and len(list(islice(lines(path, encoding), 2))) == 2:
        return _unknown(path, f"lines of objects with {', '.join(first):.80}")
    seen: dict[str, Any] = {}
    for key, begun in islice(_outline(path, encoding), _KEYS):
        seen[key] = begun
        if key == "images" and isinstance(begun, dict) and "sentences" in begun:
            return karpathy(path, encoding)
        if key == "annotations" and isinstance(begun, dict) and "caption" in begun:
            return coco(path, encoding)
        if key == "image_urls" and isinstance(begun, str):
            return sbu(path, encoding)
    if seen and all(begun is None or isinstance(begun, str) or _is_raw(begun) for begun in seen.values()):
        return mapping(path, encoding)
    return _unknown(path, f"an object with {', '.join(seen):.80}" if seen else "an empty object")


def _outline(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    """The keys of the file's object and their values; of an array the first element."""
    with opened(path, encoding) as text:
        stream = JsonStream(path, text)
        for key in stream.members():
            if stream.peek() == "[":
                values = stream.array()
                yield key, next(values, None)
                for _ in values:
                    pass
            else:
                yield key, stream.value()


def _of_array(path: Path, encoding: str) -> Layout:
    with opened(path, encoding) as text:
        first = next(JsonStream(path, text).array(), None)
    if fields := fields_of(first):
        return objects(path, encoding, fields, in_lines=False)
    if isinstance(first, dict):
        return _unknown(path, f"a list of objects with {', '.join(first):.80}")
    return _unknown(path, "an empty list" if first is None else f"a list of {first!r:.60}")


def _loaded(line: str | None) -> Any:
    try:
        return json.loads(line) if line is not None else None
    except (ValueError, RecursionError):
        return None


def _is_raw(value: Any) -> bool:
    return isinstance(value, dict) and "raw" in value


def _unknown(path: Path, what: str) -> NoReturn:
    raise ImportFault(
        f"{path}: no layout of captions: {what}; known are Karpathy's, COCO's and SBU's JSON, an object from image "
        "to captions, lists or lines of objects and tables with a header that have one of "
        f"{', '.join(IMAGES)} and one of {', '.join(TEXTS)}, lines of FILE#NUMBER, and lines of caption and URL"
    )
