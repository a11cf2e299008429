"""`python -m interbert import vqa2`."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.commands.official.shared import add_images, add_output, images_of, must_be_files, write
from interbert.commands.output import output_path

if TYPE_CHECKING:
    from interbert.sources.official.rows import Example
    from interbert.sources.official.vqa2 import Questions

ABOUT = "VQA v2: questions and ten people's answers to each, into examples with a weight for each answer."
ANSWERS = ".answers.json"
"""Ends the name of the file that has the answers to choose among."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--questions", nargs="+", required=True, type=Path, metavar="JSON", help="one file, or several as one"
    )
    add(
        "--annotations",
        nargs="+",
        default=[],
        type=Path,
        metavar="JSON",
        help="one for each; test sets have none",
    )
    order = "the answers to choose among, in the order of a head: JSON, a pickle, or a line each (default: counted)"
    add("--answers", type=Path, metavar="FILE", help=order)
    counted = "annotations in which answers are counted (default: --annotations)"
    add("--count-in", nargs="+", default=[], type=Path, metavar="JSON", help=counted)
    add("--least", type=int, metavar="N", help="an answer is kept if it is the usual one of N questions (9)")
    only = "leave out questions none of whose answers is kept: to train on"
    add("--only-answerable", action="store_true", help=only)
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.vqa2 import examples_of_questions, open_questions
    from interbert.sources.official.vqa_vocabulary import write_answers

    _check(arguments)
    inputs = [*arguments.questions, *arguments.annotations, *arguments.count_in]
    must_be_files(inputs)
    output = output_path(arguments.output, arguments.overwrite, inputs)
    beside = output.with_suffix(ANSWERS)
    if arguments.annotations and not _same(beside, arguments.answers):
        output_path(beside, arguments.overwrite, inputs)
    images, left_out = images_of(arguments), Counter()
    files = open_questions(arguments.questions, arguments.annotations)
    kept = _answers_to_keep(arguments, files) if arguments.annotations else []
    only = arguments.only_answerable
    rows = (each for file in files for each in examples_of_questions(file, kept, images, left_out, only))
    unanswered = Counter()
    write(output, _answerable(rows, arguments.answers, unanswered) if kept else rows, left_out, images)
    if unanswered[True]:
        print(
            f"  {unanswered[True]:,} questions have none of the answers that are kept: no model gets them right"
        )
    if kept:
        write_answers(beside, kept)
        print(f"{beside}: {len(kept):,} answers to choose among, for task.labels")
    return 0


def _answers_to_keep(arguments: argparse.Namespace, files: "list[Questions]") -> list[str]:
    from interbert.sources.official.vqa2 import LEAST, counted_answers
    from interbert.sources.official.vqa_vocabulary import read_answers

    if arguments.answers:
        must_be_files([arguments.answers])
        return read_answers(arguments.answers)
    kept = counted_answers(files, arguments.count_in, arguments.least or LEAST)
    if not kept and not arguments.least:
        print(f"no answer is the usual one of {LEAST} questions: every usual one is kept, as by --least 1")
        kept = counted_answers(files, arguments.count_in, 1)
    if not kept:
        raise ValueError(
            f"no answer is the usual one of {arguments.least} questions: give a smaller --least"
            if arguments.least
            else "no question has an answer that is left once it is cleaned: take the official annotations anew"
        )
    return kept


def _answerable(
    rows: "Iterable[Example]", answers: Path | None, unanswered: Counter[bool]
) -> "Iterator[Example]":
    """The rows, counted by whether none of their answers is kept. ValueError where that is so of all."""
    for row in rows:
        unanswered[not row["scores"]] += 1
        yield row
    if answers and unanswered and not unanswered[False]:
        raise ValueError(
            f"{answers}: none of its answers is one of any question; give the list of a head for these questions, "
            "its answers as the official scorer cleans them"
        )


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and path.exists() and other.exists() and path.samefile(other)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.answers and (arguments.count_in or arguments.least):
        raise ValueError("--answers says which are kept, --count-in and --least count them: give one of both")
    about_answers = arguments.answers or arguments.count_in or arguments.least or arguments.only_answerable
    if about_answers and not arguments.annotations:
        raise ValueError("--answers, --count-in, --least and --only-answerable need --annotations")
    if arguments.least is not None and arguments.least < 1:
        raise ValueError("--least must be at least 1")
