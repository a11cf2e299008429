"""`python -m interbert join`: given and detected regions of the same images into one store."""

import argparse
from pathlib import Path

from interbert.commands.output import add_overwrite, output_path

HELP = "put given regions of images before detected ones, as VCR wants it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "One store of two: of each image the regions that were given (by its annotators), and after them the "
        "detected ones. Where both have class distributions, these are kept."
    )
    add = parser.add_argument
    add(
        "--given",
        nargs="+",
        required=True,
        type=Path,
        metavar="STORE",
        help="features of the given boxes, in their order",
    )
    add(
        "--detected",
        nargs="+",
        required=True,
        type=Path,
        metavar="STORE",
        help="features of what a detector found",
    )
    add("--output", required=True, type=Path, metavar="FILE", help="store to write")
    add(
        "--most",
        type=int,
        default=100,
        metavar="N",
        help="regions of an image, the given ones first (100)",
    )
    told = "examples whose right choices become captions of their images: to pretrain on"
    add("--texts", nargs="+", default=[], type=Path, metavar="FILE", help=told)
    add_overwrite(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.corpus.join_regions import join_regions
    from interbert.corpus.right_texts import right_texts

    inputs = [*arguments.given, *arguments.detected, *arguments.texts]
    for path in inputs:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    if arguments.most < 1:
        raise ValueError("--most is at least 1")
    output = output_path(arguments.output, arguments.overwrite, inputs)
    texts = right_texts(arguments.texts)
    found = join_regions(arguments.given, arguments.detected, output, arguments.most, texts)
    print(
        f"{output}: {found['images']:,} images, {found['given']:,} given regions, {found['detected']:,} detected "
        f"ones, {found['captions']:,} captions"
    )
    return 0
