"""VQA v2: questions and ten people's answers to each, into examples with a weight for each answer."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.sources.official.images import Images
from interbert.sources.official.rows import (
    OFFICIAL,
    Example,
    Skipped,
    examples_of,
    json_tree,
    number_in,
    text_in,
)
from interbert.sources.official.vqa_answers import cleaned, official_accuracy
from interbert.sources.official.vqa_vocabulary import answers_of, frequent_answers

NAME = "vqa2"
LEAST = 9
"""Questions in which an answer must be the usual one to be kept."""


class Questions:
    """A file of questions, and that of their answers where it is there."""

    def __init__(self, path: Path, answers: Path | None) -> None:
        self.path, self.answers = path, answers
        tree = json_tree(path, "questions")
        self.rows: list[Any] = tree["questions"]
        self.annotations = _by_question(answers) if answers else None
        subtype = tree.get("data_subtype")
        # The questions of test-dev2015 are about images of test2015.
        self.split = subtype.replace("-dev", "") if type(subtype) is str else None
        if self.annotations is not None:
            self._refuse_another_split()

    def _refuse_another_split(self) -> None:
        ids = [
            row["question_id"]
            for row in self.rows
            if type(row) is dict and type(row.get("question_id")) is int
        ]
        lacking = [each for each in ids if each not in self.annotations]
        if lacking:
            raise ExamplesError(
                f"{self.answers}: {len(lacking):,} of {len(ids):,} questions in {self.path} are not answered there "
                f"(such as {lacking[0]}); give the annotations of the same split"
            )


def _by_question(path: Path) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(json_tree(path, "annotations")["annotations"], start=1):
        try:
            question = number_in(row, "question_id")
            answers_of(row)
        except Fault as fault:
            raise ExamplesError(f"{path}, entry {number}, {fault}") from None
        if question in found:
            raise ExamplesError(
                f"{path}, entry {number}: question {question} is answered before; keep one of them"
            )
        found[question] = row
    return found


def open_questions(questions: Sequence[Path], annotations: Sequence[Path]) -> list[Questions]:
    if annotations and len(annotations) != len(questions):
        raise ValueError(
            f"{len(questions)} files of questions and {len(annotations)} of annotations: give one for each, in the "
            "same order, or none (of test sets)"
        )
    files = [Questions(*pair) for pair in zip_longest(questions, annotations)]
    _refuse_twice(files)
    return files


def _refuse_twice(files: Sequence[Questions]) -> None:
    """A question in two files; one twice in a file is told by its place there."""
    first_of: dict[int, Path] = {}
    for file in files:
        for row in file.rows:
            question = row.get("question_id") if type(row) is dict else None
            first = first_of.setdefault(question, file.path) if type(question) is int else file.path
            if first != file.path:
                raise ExamplesError(
                    f"{file.path}: question {question} is in {first} too; give files of different splits"
                )


def counted_answers(files: Sequence[Questions], count_in: Sequence[Path], least: int = LEAST) -> list[str]:
    """The frequent answers of these files, or of other annotations."""
    counted = [_by_question(path) for path in count_in] or [file.annotations or {} for file in files]
    return frequent_answers((row for rows in counted for row in rows.values()), least)


def examples_of_questions(
    file: Questions,
    kept: Sequence[str],
    images: Images,
    left_out: Counter[str],
    only_answerable: bool = False,
) -> Iterator[Example]:
    """only_answerable: without questions none of whose answers is kept, which only confuse who learns."""
    vocabulary = frozenset(kept)

    def read(row: Any) -> Iterator[Example]:
        question, image = number_in(row, "question_id"), number_in(row, "image_id")
        names = [f"{coco}_{file.split}_{image:012d}" for coco in ("COCO", "coco") if file.split]
        text = text_in(row, "question")
        example = {
            "id": question,
            "images": [images.named(*names, str(image), f"{image:012d}")],
            "texts": [text],
        }
        if file.annotations is not None:
            annotation = file.annotations[question]
            if annotation.get("image_id", image) != image:
                raise Fault(
                    "image_id",
                    f"{image}, but {annotation['image_id']} in {file.answers}; these are of two data sets",
                )
            example |= _answered(annotation, vocabulary)
            if only_answerable and not example["scores"]:
                raise Skipped("none of the answers is kept")
        yield example | {OFFICIAL: NAME}

    return examples_of(file.path, enumerate(file.rows, start=1), read, left_out, "entry")


def _answered(annotation: dict[str, Any], kept: frozenset[str]) -> Example:
    """An answer weighs what the official scorer would give for it."""
    ten = answers_of(annotation)
    found = {"scores": weights(ten, kept), "answers": ten}
    for field, name in (("answer_type", "type"), ("question_type", "question_type")):
        if type(annotation.get(field)) is str:
            found[name] = annotation[field]
    return found


def weights(ten: Sequence[str], kept: frozenset[str]) -> dict[str, float]:
    said = dict.fromkeys([*ten, *map(cleaned, ten)])
    found = {answer: round(official_accuracy(answer, ten), 6) for answer in said if answer in kept}
    return {answer: weight for answer, weight in found.items() if weight}
