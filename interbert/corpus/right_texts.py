"""What is right of images, in words: from examples whose choices are texts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault, Faults


def right_texts(paths: Sequence[Path]) -> dict[str, list[str]]:
    """By image: the segments of the right choice of each example one after another, each such text once."""
    found: dict[str, dict[str, None]] = {}
    for path in paths:
        faults, lines, told = Faults(path), 0, 0
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                lines += 1
                try:
                    image, text = _right_of(raw)
                except Fault as fault:
                    faults.add(number, fault)
                    continue
                if text is not None:
                    told += 1
                    found.setdefault(image, {})[text] = None
        faults.refuse(lines)
        if not told:
            raise ExamplesError(
                f"{path}: no line says which choice is right; give examples of kind choose, with labels"
            )
    return {image: list(texts) for image, texts in found.items()}


def _right_of(raw: bytes) -> tuple[str, str | None]:
    """The image and its right text; None where that is not known."""
    try:
        line: Any = json.loads(raw.decode("utf-8-sig"))
        (image,), texts, label = line["images"], line["texts"], line.get("label")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault("", "is no example with one image and texts; see docs/examples.md") from None
    if label is None:
        return image, None
    if type(label) is not int or not 0 <= label < len(texts):
        raise Fault("label", f"{label!r} is none of the {len(texts)} choices; give examples of kind choose")
    return image, " ".join([texts[label]] if type(texts[label]) is str else texts[label])
