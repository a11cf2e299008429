"""`python -m interbert import nlvr2`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import (
    add_images,
    add_input,
    add_output,
    images_of,
    must_be_files,
    write,
)
from interbert.commands.output import output_path

ABOUT = "NLVR2: statements about two images, true or false, into examples of two pairs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser, "train.json, dev.json, test1.json or test2.json")
    subsets = "files of some of the statements, such as balanced_dev.json: figures are told for each"
    parser.add_argument("--subsets", nargs="+", default=[], type=Path, metavar="FILE", help=subsets)
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.nlvr2 import examples_of_statements

    inputs = [arguments.input, *arguments.subsets]
    must_be_files(inputs)
    output = output_path(arguments.output, arguments.overwrite, inputs)
    images, left_out = images_of(arguments), Counter()
    write(
        output, examples_of_statements(arguments.input, images, left_out, arguments.subsets), left_out, images
    )
    return 0
