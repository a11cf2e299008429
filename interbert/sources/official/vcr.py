"""VCR: a question with four answers, and four rationales for an answer, into examples of four choices.

An answer is chosen given the question; a rationale given the question and an answer: the right one, or, for a
submission, each of the four in turn.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import OFFICIAL, Example, examples_of, json_lines, parsed, text_in

NAME = "vcr"
PARTS = ("answer", "rationale")
CHOICES = 4
NAMES = (
    *("Casey", "Riley", "Jessie", "Jackie", "Avery", "Jaime", "Peyton", "Kerry", "Jody", "Kendall"),
    *("Peyton", "Skyler", "Frankie", "Pat", "Quinn"),
)
"""Of persons, in the order of their coming among the objects, begun anew after the last: the same in all texts."""


def examples_of_situations(
    path: Path,
    metadata: Path | None,
    images: Images,
    left_out: Counter[str],
    parts: tuple[str, ...] = PARTS,
    every_answer: bool = False,
) -> Iterator[Example]:
    """metadata: the folder of the files that the rows name, with which their objects are compared. every_answer:
    rationales given each of the answers, as a submission needs them; always so where the right one is not known."""

    def read(raw: bytes) -> Iterator[Example]:
        row = parsed(raw)
        situation = _Situation(row, metadata)
        image = images.named(*names_of(row))
        for example in situation.examples(parts, every_answer):
            yield example | {"images": [image], "annot_id": situation.id, OFFICIAL: NAME}

    return examples_of(path, json_lines(path), read, left_out)


_FIRST = {"train": 0, "val": 1_000_000, "test": 2_000_000}
"""Where ViLBERT's and InterBERT's files begin to number the images of a split."""


def names_of(row: dict[str, Any]) -> list[str]:
    """How an image may be called in a store; the first is the usual one."""
    path = text_in(row, "img_fn")
    stem, id_ = Path(path).stem, row.get("img_id")
    names = [stem, path, *([id_] if type(id_) is str else [])]
    split, _, number = id_.partition("-") if type(id_) is str else ("", "", "")
    if split in _FIRST and number.isdecimal():
        uniters = [f"vcr_{split}_{stem}", f"vcr_gt_{split}_{stem}"]
        names += [str(_FIRST[split] + int(number)), *uniters]
    return names


class _Situation:
    """A row: an image, its question, answers and rationales as texts."""

    def __init__(self, row: dict[str, Any], metadata: Path | None) -> None:
        self.id = text_in(row, "annot_id")
        objects = row.get("objects")
        if type(objects) is not list or not all(type(name) is str for name in objects):
            raise Fault("objects", f"{objects!r:.60} is no list of names; take the official file anew")
        if metadata is not None:
            _compare(metadata / text_in(row, "metadata_fn"), objects)
        self._called = _called(objects)
        self._question = self._text("question", row.get("question"))
        self._answers = self._choices("answer_choices", row.get("answer_choices"))
        self._rationales = self._choices("rationale_choices", row.get("rationale_choices"))
        self._right = {part: _label(row, f"{part}_label") for part in PARTS}

    def examples(self, parts: tuple[str, ...], every_answer: bool) -> Iterator[Example]:
        if "answer" in parts:
            texts = [[self._question, answer] for answer in self._answers]
            yield self._example(self.id, "Q->A", texts, self._right["answer"])
        if "rationale" not in parts:
            return
        right = self._right["answer"]
        for number, answer in enumerate(self._answers):
            if every_answer or right in (None, number):
                texts = [[f"{self._question} {answer}", rationale] for rationale in self._rationales]
                label = self._right["rationale"] if number == right else None
                example = self._example(f"{self.id}-rationale-{number}", "QA->R", texts, label)
                yield example | {"given_answer": number}

    def _example(self, id_: str, kind: str, texts: list[list[str]], label: int | None) -> Example:
        return {"id": id_, "texts": texts, "type": kind} | ({} if label is None else {"label": label})

    def _choices(self, field: str, given: Any) -> list[str]:
        if type(given) is not list or len(given) != CHOICES:
            count = f"{len(given)} choices" if type(given) is list else f"{given!r:.60}"
            raise Fault(field, f"{count}, and VCR has {CHOICES}; take the official file anew")
        return [self._text(f"{field}[{number}]", words) for number, words in enumerate(given)]

    def _text(self, field: str, words: Any) -> str:
        """Words, and lists of numbers of objects, as one text."""
        if type(words) is not list or not words:
            raise Fault(field, f"{words!r:.60} is no list of words; take the official file anew")
        return " ".join(word if type(word) is str else self._tagged(field, word) for word in words)

    def _tagged(self, field: str, tags: Any) -> str:
        if type(tags) is not list or not tags or not all(type(tag) is int for tag in tags):
            raise Fault(
                field, f"{tags!r:.60} is neither a word nor a list of objects; take the official file anew"
            )
        beyond = [tag for tag in tags if not 0 <= tag < len(self._called)]
        if beyond:
            raise Fault(
                field,
                f"the tag {beyond[0]} points beyond the {len(self._called)} objects, counted from 0; correct it, or "
                "take the official file anew",
            )
        return " and ".join(self._called[tag] for tag in tags)


def _called(objects: list[str]) -> list[str]:
    """How texts call each object: a person by a name, anything else by its class."""
    found, persons = [], 0
    for name in objects:
        found.append(NAMES[persons % len(NAMES)] if name == "person" else name)
        persons += name == "person"
    return found


def _compare(path: Path, objects: list[str]) -> None:
    """Boxes and names in the image's own file are those of the row."""
    try:
        told = json.loads(path.read_bytes())
        names, boxes = told["names"], told["boxes"]
    except OSError as error:
        raise Fault(
            "metadata_fn", f"{path} cannot be read ({error.strerror}); give the --metadata folder"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Fault(
            "metadata_fn", f"{path} has no names and boxes in JSON; take the official file anew"
        ) from None
    if names != objects or len(boxes) != len(objects):
        raise Fault(
            "objects",
            f"{len(objects)} of them, and {path} has {len(names)} names and {len(boxes)} boxes, or others; take "
            "both from the same release",
        )


def _label(row: dict[str, Any], field: str) -> int | None:
    label = row.get(field)
    if label is not None and (type(label) is not int or not 0 <= label < CHOICES):
        raise Fault(
            field, f"{label!r} is none of the {CHOICES} choices, counted from 0; take the official file anew"
        )
    return label
