"""`python -m interbert import muge`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import add_images, add_output, images_of, must_exist, write
from interbert.commands.output import output_path

ABOUT = "Queries of MUGE, or in Chinese-CLIP's files, each with its candidates, into examples of pairs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    queries = "valid_queries.jsonl (MUGE) or valid_texts.jsonl (Chinese-CLIP)"
    add("--queries", required=True, type=Path, metavar="FILE", help=queries)
    candidates = (
        "which images are candidates of each query, best first or not: a prediction file of any retriever"
    )
    add("--candidates", required=True, type=Path, metavar="FILE", help=candidates)
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.muge import examples_of_queries

    inputs = [arguments.queries, arguments.candidates]
    must_exist(inputs)
    output = output_path(arguments.output, arguments.overwrite, inputs)
    images, left_out = images_of(arguments), Counter()
    write(output, examples_of_queries(*inputs, images, left_out), left_out, images)
    return 0
