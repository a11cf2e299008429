"""`python -m interbert import vcr`."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.commands.official.shared import (
    add_images,
    add_input,
    add_output,
    images_of,
    must_be_files,
    must_exist,
    write,
)
from interbert.commands.output import output_path

if TYPE_CHECKING:
    from interbert.sources.official.rows import Example
    from interbert.sources.official.vcr_regions import Regions

ABOUT = "VCR: a question with four answers, and four rationales for an answer, into examples of four choices."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_input(parser, "train.jsonl, val.jsonl or test.jsonl")
    compared = "vcr1images, whose files of boxes and names the rows are compared with (default: they are not)"
    add("--metadata", type=Path, metavar="DIR", help=compared)
    add("--part", choices=["answer", "rationale"], help="Q->A or QA->R alone (default: both)")
    every = (
        "rationales given each of the four answers, as a submission has them (always so where none is known)"
    )
    add("--every-answer", action="store_true", help=every)
    tags = "also say which regions of --data show the objects that words mean (by --metadata), for task.tags"
    add("--tags", action="store_true", help=tags)
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.vcr import PARTS, examples_of_situations

    if arguments.tags and not (arguments.data and arguments.metadata):
        raise ValueError("--tags compares boxes of --metadata with regions of --data: give both")
    metadata = [arguments.metadata] if arguments.metadata else []
    must_be_files([arguments.input])
    must_exist(metadata)
    output = output_path(arguments.output, arguments.overwrite, [arguments.input, *metadata])
    parts = (arguments.part,) if arguments.part else PARTS
    images, left_out = images_of(arguments), Counter()
    with _regions_of(arguments) as regions:
        rows = examples_of_situations(
            arguments.input, arguments.metadata, images, left_out, parts, arguments.every_answer, regions
        )
        write(output, rows if regions is None else _with_some_tags(rows, regions), left_out, images)
        if regions is not None:
            print(
                f"  {regions.shown:,} of {regions.objects:,} objects are shown by a region, and can be tagged"
            )
    return 0


def _with_some_tags(rows: "Iterable[Example]", regions: "Regions") -> "Iterator[Example]":
    """Ends as a refusal where there are none, so that no file is left."""
    yield from rows
    regions.refuse()


@contextmanager
def _regions_of(arguments: argparse.Namespace) -> "Iterator[Regions | None]":
    if not arguments.tags:
        yield None
        return
    from interbert.corpus.corpus import Corpus
    from interbert.sources.official.vcr_regions import Regions

    with Corpus(arguments.data) as corpus:
        yield Regions(corpus)
