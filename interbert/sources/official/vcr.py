"""VCR: a question with four answers, and four rationales for an answer, into examples of four choices.

An answer is chosen given the question; a rationale given the question and an answer: the right one, or, for a
submission, each of the four in turn. Words that mean objects are names; where asked, tags say which regions of the
store show them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from interbert.corpus.example_faults import Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import OFFICIAL, Example, examples_of, json_lines, parsed, text_in

if TYPE_CHECKING:
    from interbert.sources.official.vcr_regions import Regions

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
    regions: "Regions | None" = None,
) -> Iterator[Example]:
    """metadata: the folder of the files that the rows name, with which their objects are compared. every_answer:
    rationales given each of the answers, as a submission needs them; always so where the right one is not known.
    regions: finds those that show an object, for tags; metadata must be given too."""

    told: list[tuple[str, ...]] = []

    def read(raw: bytes) -> Iterator[Example]:
        row = parsed(raw)
        situation = _Situation(row, metadata)
        told.append(situation.labelled)
        if situation.labelled != told[0]:
            raise Fault(
                "answer_label",
                f"this row has {_listed(situation.labelled)}, and the first one {_listed(told[0])}; a file has the "
                "labels of all or of none: take the official file anew",
            )
        image = images.named(*names_of(row))
        shown_by = regions.showing(image, situation.boxes) if regions else {}
        for example in situation.examples(parts, every_answer, shown_by):
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


class _Said(NamedTuple):
    """A text, and which of its words mean which object."""

    words: list[str]
    means: list[tuple[int, int]]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def and_then(self, other: "_Said") -> "_Said":
        later = [(len(self.words) + word, thing) for word, thing in other.means]
        return _Said(self.words + other.words, self.means + later)


class _Situation:
    """A row: an image, its question, answers and rationales as texts."""

    def __init__(self, row: dict[str, Any], metadata: Path | None) -> None:
        self.id = text_in(row, "annot_id")
        objects = row.get("objects")
        if type(objects) is not list or not all(type(name) is str for name in objects):
            raise Fault("objects", f"{objects!r:.60} is no list of names; take the official file anew")
        self.boxes = _boxes_of(metadata / text_in(row, "metadata_fn"), objects) if metadata else None
        self._called = _called(objects)
        self._question = self._text("question", row.get("question"))
        self._answers = self._choices("answer_choices", row.get("answer_choices"))
        self._rationales = self._choices("rationale_choices", row.get("rationale_choices"))
        self._right = {part: _label(row, f"{part}_label") for part in PARTS}

    @property
    def labelled(self) -> tuple[str, ...]:
        """Which of its parts have a right choice."""
        return tuple(part for part in PARTS if self._right[part] is not None)

    def examples(
        self, parts: tuple[str, ...], every_answer: bool, shown_by: dict[int, int]
    ) -> Iterator[Example]:
        """shown_by: the region of each object that one shows."""
        if "answer" in parts:
            texts = [[self._question, answer] for answer in self._answers]
            yield _example(self.id, "Q->A", texts, self._right["answer"], shown_by)
        if "rationale" not in parts:
            return
        right = self._right["answer"]
        for number, answer in enumerate(self._answers):
            if every_answer or right in (None, number):
                asked = self._question.and_then(answer)
                texts = [[asked, rationale] for rationale in self._rationales]
                label = self._right["rationale"] if number == right else None
                example = _example(f"{self.id}-rationale-{number}", "QA->R", texts, label, shown_by)
                yield example | {"given_answer": number}

    def _choices(self, field: str, given: Any) -> list[_Said]:
        if type(given) is not list or len(given) != CHOICES:
            count = f"{len(given)} choices" if type(given) is list else f"{given!r:.60}"
            raise Fault(field, f"{count}, and VCR has {CHOICES}; take the official file anew")
        return [self._text(f"{field}[{number}]", words) for number, words in enumerate(given)]

    def _text(self, field: str, words: Any) -> _Said:
        """Words, and lists of numbers of objects, as one text."""
        if type(words) is not list or not words:
            raise Fault(field, f"{words!r:.60} is no list of words; take the official file anew")
        said = _Said([], [])
        for word in words:
            said = said.and_then(_Said(word.split(), []) if type(word) is str else self._tagged(field, word))
        if not said.words:
            raise Fault(field, "empty; take the official file anew")
        return said

    def _tagged(self, field: str, tags: Any) -> _Said:
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
        said = _Said([], [])
        for number, tag in enumerate(tags):
            name = self._called[tag].split()
            between = _Said(["and"] if number else [], [])
            said = said.and_then(between).and_then(_Said(name, [(place, tag) for place in range(len(name))]))
        return said


def _example(
    id_: str, kind: str, texts: list[list[_Said]], label: int | None, shown_by: dict[int, int]
) -> Example:
    tags = [
        [choice, segment, word, shown_by[thing]]
        for choice, segments in enumerate(texts)
        for segment, said in enumerate(segments)
        for word, thing in said.means
        if thing in shown_by
    ]
    found = {"id": id_, "texts": [[said.text for said in segments] for segments in texts], "type": kind}
    return found | ({"tags": tags} if tags else {}) | ({} if label is None else {"label": label})


def _listed(labelled: tuple[str, ...]) -> str:
    return " and ".join(f"{part}_label" for part in labelled) or "no label"


def _called(objects: list[str]) -> list[str]:
    """How texts call each object: a person by a name, anything else by its class."""
    found, persons = [], 0
    for name in objects:
        found.append(NAMES[persons % len(NAMES)] if name == "person" else name)
        persons += name == "person"
    return found


class Boxes(NamedTuple):
    """Of an image's objects."""

    boxes_N4: np.ndarray
    size: tuple[float, float]
    """Width and height of the image that they are in."""


def _boxes_of(path: Path, objects: list[str]) -> Boxes:
    """From the image's own file, whose names must be those of the row."""
    try:
        names, boxes = _read_metadata(path)
    except OSError as error:
        raise Fault(
            "metadata_fn", f"{path} cannot be read ({error.strerror}); give the --metadata folder"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Fault(
            "metadata_fn",
            f"{path} has not the names, a box of each, width and height in JSON; take the official file anew",
        ) from None
    if names != objects:
        raise Fault(
            "objects",
            f"{len(objects)} of them, and {path} has {len(names)}, or others; take both from the same release",
        )
    return boxes


def _read_metadata(path: Path) -> tuple[list[Any], Boxes]:
    """ValueError, KeyError or TypeError where it is not what it should be."""
    told = json.loads(path.read_bytes())
    names = list(told["names"])
    boxes_N4 = np.array([box[:4] for box in told["boxes"]], float).reshape(len(names), 4)
    size = float(told["width"]), float(told["height"])
    if not np.isfinite(boxes_N4).all() or not all(0 < length < inf for length in size):
        raise ValueError
    return names, Boxes(boxes_N4, size)


def _label(row: dict[str, Any], field: str) -> int | None:
    label = row.get(field)
    if label is not None and (type(label) is not int or not 0 <= label < CHOICES):
        raise Fault(
            field, f"{label!r} is none of the {CHOICES} choices, counted from 0; take the official file anew"
        )
    return label
