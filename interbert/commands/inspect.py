"""`python -m interbert inspect STORE…`: what is in a data set, as text and as a picture."""

import argparse
from pathlib import Path

HELP = "show what a data set holds: counts, histograms of lengths, captions, a picture of boxes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="+", type=Path, help="store files, or directories of shards")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.png", help="also draw some images' boxes and captions"
    )
    parser.add_argument(
        "--images", type=int, default=6, metavar="N", help="images to draw and to list (default 6)"
    )
    parser.add_argument("--image-id", action="append", metavar="ID", help="draw this image (may be repeated)")


def run(arguments: argparse.Namespace) -> int:
    from interbert.data.corpus import Corpus
    from interbert.data.overview import choose_images, describe, picture

    if arguments.images < 1:
        raise ValueError(f"--images {arguments.images}: give at least 1")
    with Corpus(arguments.data) as corpus:
        images = choose_images(corpus, arguments.images, arguments.image_id)
        print(describe(corpus, images))
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            picture(corpus, images).save(arguments.output)
            print(f"\npicture: {arguments.output}")
    return 0
