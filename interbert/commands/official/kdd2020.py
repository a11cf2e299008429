"""`python -m interbert import kdd2020`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import add_images, add_input, add_output, images_of, must_exist, write
from interbert.commands.output import output_path

ABOUT = (
    "The KDD Cup 2020's queries (Multimodalities Recall): each with its candidates, or with a product that fits and "
    "others that do not, into examples of pairs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_input(parser, "train.tsv, valid.tsv, testA.tsv or testB.tsv")
    add("--answers", type=Path, metavar="JSON", help="valid_answer.json: which candidates fit")
    negatives = (
        "the rows are pairs that fit, as in train.tsv: to each N products of other queries, first of those that "
        "share words with its own"
    )
    add("--negatives", type=int, metavar="N", help=negatives)
    add("--seed", type=int, default=1, metavar="S", help="of what is drawn (1)")
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.kdd2020 import examples_of_candidates, examples_of_pairs

    if arguments.negatives is not None and (arguments.answers or arguments.negatives < 1):
        raise ValueError("--negatives is of pairs that all fit: give at least 1, and no --answers")
    inputs = [arguments.input, *([arguments.answers] if arguments.answers else [])]
    must_exist(inputs)
    output = output_path(arguments.output, arguments.overwrite, inputs)
    images, left_out = images_of(arguments), Counter()
    if arguments.negatives is None:
        rows = examples_of_candidates(arguments.input, images, left_out, arguments.answers)
    else:
        rows = examples_of_pairs(arguments.input, images, left_out, arguments.negatives, arguments.seed)
    write(output, rows, left_out, images)
    return 0
