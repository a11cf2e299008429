"""`python -m interbert import refcoco`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import add_images, add_output, images_of, must_exist, write
from interbert.commands.output import output_path

ABOUT = "RefCOCO, RefCOCO+ or RefCOCOg: phrases that mean one object of an image, into examples with its box."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--input", required=True, type=Path, metavar="DIR", help="with refs(unc).p and instances.json")
    add("--split", required=True, metavar="NAME", help="train, val, testA or testB")
    add("--split-by", metavar="NAME", help="of several divisions into splits which one: unc, google or umd")
    add_output(parser)
    add_images(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.sources.official.refcoco import examples_of_phrases, refs_in

    must_exist([arguments.input])
    refs = refs_in(arguments.input, arguments.split_by)
    output = output_path(arguments.output, arguments.overwrite, [arguments.input])
    images, left_out = images_of(arguments), Counter()
    write(output, examples_of_phrases(refs, arguments.split, images, left_out), left_out, images)
    return 0
