"""`python -m interbert import snli-ve`."""

import argparse
from collections import Counter

from interbert.commands.official.shared import (
    add_images,
    add_input,
    add_output,
    images_of,
    must_be_files,
    write,
)
from interbert.commands.output import output_path

ABOUT = "SNLI-VE: does an image show what a sentence says, contradict it, or leave it open?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_input(parser, "snli_ve_train.jsonl, snli_ve_dev.jsonl or snli_ve_test.jsonl")
    soft = "weigh each class by the share of annotators who chose it"
    parser.add_argument("--soft", action="store_true", help=soft)
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.snli_ve import examples_of_hypotheses

    must_be_files([arguments.input])
    output = output_path(arguments.output, arguments.overwrite, [arguments.input])
    images, left_out = images_of(arguments), Counter()
    write(output, examples_of_hypotheses(arguments.input, images, left_out, arguments.soft), left_out, images)
    return 0
