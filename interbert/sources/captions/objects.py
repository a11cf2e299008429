"""Objects with an image and its text, a line or an element of a list each; which of their fields these are.

Decided by the first object, for the whole file.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.sources.captions.json_stream import elements
from interbert.sources.captions.layout import (
    SHOWN,
    Caption,
    Layout,
    captions_of,
    first_name,
    image_name,
    sentences,
)
from interbert.sources.captions.text_file import lines
from interbert.sources.captions.web import URL_FIELDS
from interbert.sources.record import ImportFault

URLS = ("url", "image_url")
IMAGES = (
    *("image", "img_path", "image_path", "file_name", "filename", "filepath", "image_name", "img"),
    *("img_id", "image_id", "image_ids", "item_ids", *URLS, "key", "id"),
)
"""Names of the field that says which image it is; the first that is there counts."""
TEXTS = (
    *("conversations", "sentf", "sentences", "captions", "caption", "texts", "text", "query_text", "sent"),
    *("sentence", "title", "comment", "raw"),
)
_OF_TASKS = ("question_id", "question", "questions", "answer", "answers")
"""Objects with one of these are examples of a task: their texts are no captions."""
_TITLES = {
    "conversations": "LLaVA's conversations",
    "sentf": "LXMERT's sentences",
    ("img_id", "sent"): "LXMERT's list",
    ("img_path", "sentences"): "ViLBERT's captions",
    ("id", "sentences"): "VOLTA's captions",
    ("image_id", "caption"): "COCO's results",
    ("file_name", "text"): "Hugging Face's metadata",
    ("image_ids", "text"): "Chinese-CLIP's texts",
    ("item_ids", "query_text"): "MUGE's queries",
}


@dataclass(frozen=True)
class Fields:
    image: str | None
    text: str


def fields_of(item: Any) -> Fields | None:
    """None where the object has no image, or no text."""
    if not isinstance(item, dict) or any(name in item for name in _OF_TASKS):
        return None
    text = next((name for name in TEXTS if name in item), None)
    image = next((name for name in IMAGES if name in item), None)
    if text == "conversations":  # those about no image may come first, and `id` is the conversation's own
        return Fields("image", text)
    return Fields(image, text) if text and image else None


def objects(path: Path, encoding: str, fields: Fields, in_lines: bool) -> Layout:
    left_out: Counter[str] = Counter()

    def captions() -> Iterator[Caption]:
        left_out.clear()
        for row, (where, item) in enumerate(read(path, encoding)):
            texts = _texts(item, fields, where, left_out)
            split = item.get("split")
            for image in _images(item, fields, where, left_out) if texts else ():
                other = str(row) if fields.image in URLS else None
                yield from captions_of(image, other, split, texts, left_out)

    read = _lines if in_lines else elements
    title = _TITLES.get(fields.text) or _TITLES.get((fields.image, fields.text)) or "images with captions"
    return Layout(
        f"{title}, {'a line each' if in_lines else 'a list'}",
        URL_FIELDS if fields.image in URLS else (first_name(fields.image),),
        f"{'lines' if in_lines else 'list'} of objects: {fields.image}, {fields.text}",
        captions,
        left_out,
    )


def _lines(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    for number, line in lines(path, encoding):
        where = f"{path}, line {number}"
        try:
            yield where, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ImportFault(f"{where}: not JSON ({error})") from None


def _images(item: dict, fields: Fields, where: str, left_out: Counter[str]) -> list[str]:
    value = item.get(fields.image)
    if fields.text == "conversations" and value is None:
        left_out["conversations about no image"] += 1
        return []
    if isinstance(value, dict):  # an image of Hugging Face's datasets
        value = value.get("path")
    if isinstance(value, list) and fields.image not in ("image_ids", "item_ids"):
        left_out["texts of several images at once"] += 1
        return []
    values = (
        value if isinstance(value, list) else [_need(item, fields.image, where) if value is None else value]
    )
    return [image_name(image, f"{where}, {fields.image}") for image in values]


def _texts(item: Any, fields: Fields, where: str, left_out: Counter[str]) -> list[str]:
    value = _need(item, fields.text, where)
    if fields.text == "conversations":
        return _answer(value, f"{where}, conversations", left_out)
    if fields.text == "sentf":
        return _statements(value, item.get("labelf") or {}, f"{where}, sentf", left_out)
    return sentences(value, f"{where}, {fields.text}")


def _need(item: Any, field: str, where: str) -> Any:
    if not isinstance(item, dict):
        raise ImportFault(f"{where}: {item!r:.{SHOWN}}; an object with {field} is expected")
    if item.get(field) is None:
        raise ImportFault(f"{where}: lacks {field!r}; it has {', '.join(map(str, item)):.{SHOWN}}")
    return item[field]


def _answer(turns: Any, where: str, left_out: Counter[str]) -> list[str]:
    """The caption is the answer of a conversation that has one alone; of several each answers its own question."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ImportFault(f"{where}: {turns!r:.{SHOWN}}; a list of turns is expected")
    answers = [turn.get("value") for turn in turns if turn.get("from") in ("gpt", "assistant")]
    if len(answers) != 1:
        left_out["conversations of several turns, or none"] += 1
        return []
    return sentences(answers[0], where)


def _statements(sets: Any, labels: Any, where: str, left_out: Counter[str]) -> list[str]:
    """Of LXMERT's sets of sentences those without labels: the others are questions with their answers."""
    if not isinstance(sets, dict) or not isinstance(labels, dict):
        raise ImportFault(f"{where}: {sets!r:.{SHOWN}}; an object of lists is expected")
    found = []
    for name, texts in sets.items():
        if name in labels:
            left_out["questions"] += len(texts) if isinstance(texts, list) else 1
        else:
            found += sentences(texts, f"{where}.{name}")
    return found
