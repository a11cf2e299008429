"""SNLI-VE: whether an image shows what a sentence says, contradicts it, or leaves it open."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import (
    OFFICIAL,
    Example,
    Skipped,
    examples_of,
    json_lines,
    one_of,
    parsed,
    text_in,
)

NAME = "snli-ve"
LABELS = ("contradiction", "neutral", "entailment")
IMAGE_FIELDS = ("Flikr30kID", "Flickr30kID", "Flickr30K_ID")
"""As the fields of its versions are written, the first one in the official files."""


def examples_of_hypotheses(
    path: Path, images: Images, left_out: Counter[str], soft: bool = False
) -> Iterator[Example]:
    """soft: each class weighs what share of the annotators chose it, instead of one label."""

    def read(raw: bytes) -> Iterator[Example]:
        row = parsed(raw)
        gold = one_of(row.get("gold_label"), (*LABELS, "-"), "gold_label")
        if gold == "-":
            raise Skipped("annotators did not agree on a label (-)")
        image = _image_of(row).removesuffix(".jpg")
        example = {
            "id": text_in(row, "pairID"),
            "images": [images.named(image, f"flickr30k_{image:0>12}")],
            "texts": [text_in(row, "sentence2")],
        }
        yield example | (_shares(row) | {"gold_label": gold} if soft else {"label": gold}) | {OFFICIAL: NAME}

    return examples_of(path, json_lines(path), read, left_out)


def _image_of(row: dict[str, Any]) -> str:
    there = [field for field in IMAGE_FIELDS if field in row]
    if not there:
        raise Fault(IMAGE_FIELDS[0], "missing; is it a file of SNLI, without images? Take SNLI-VE's")
    if len({str(row[field]).removesuffix(".jpg") for field in there}) > 1:
        raise Fault(
            there[0], f"{row[there[0]]!r}, but {there[1]} is {row[there[1]]!r}; keep one version's fields"
        )
    return text_in(row, there[0])


def _shares(row: dict[str, Any]) -> dict[str, Any]:
    said = row.get("annotator_labels")
    if type(said) is not list or not said:
        raise Fault("annotator_labels", "missing; soft labels are made of them: leave --soft out")
    counts = Counter(one_of(label, LABELS, "annotator_labels") for label in said if label != "")
    total = sum(counts.values())
    if not total:
        raise Fault("annotator_labels", "all empty; soft labels are made of them: leave --soft out")
    return {"scores": {label: round(counts[label] / total, 6) for label in LABELS if counts[label]}}
