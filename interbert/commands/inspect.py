"""`python -m interbert inspect STORE…`: what is in a data set, as text, as a picture, as a page."""

import argparse
from pathlib import Path
from typing import Any

from interbert.commands.output import add_overwrite, output_path

HELP = "show what a data set holds: counts, histograms of lengths, captions, boxes; as text, picture or page"
_KINDS = (".png", ".html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="+", type=Path, help="store files, or directories of shards")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also as FILE.png (some images' boxes and captions) or FILE.html (a page with histograms and images)",
    )
    add_overwrite(parser)
    parser.add_argument(
        "--images", type=int, default=6, metavar="N", help="images to draw and to list (default 6)"
    )
    parser.add_argument("--image-id", action="append", metavar="ID", help="draw this image (may be repeated)")


def run(arguments: argparse.Namespace) -> int:
    from interbert.corpus.corpus import Corpus
    from interbert.show.overview import choose_images, describe

    if arguments.images < 1:
        raise ValueError(f"--images {arguments.images}: give at least 1")
    output = arguments.output
    if output and output.suffix not in _KINDS:
        raise ValueError(f"--output {output}: it must end in {' or '.join(_KINDS)}")
    if output:
        output = output_path(output, arguments.overwrite, arguments.data)
    with Corpus(arguments.data) as corpus:
        images = choose_images(corpus, arguments.images, arguments.image_id)
        print(describe(corpus, images))
        if output:
            _write(corpus, images, output)
            print(f"\nwritten: {output}")
    return 0


def _write(corpus: Any, images: list[int], output: Path) -> None:
    from interbert.files import replaced, write_text

    if output.suffix == ".html":
        from interbert.show.page import html_page

        write_text(output, html_page(corpus, images))
    else:
        from interbert.show.overview import picture

        with replaced(output) as partial:
            picture(corpus, images).save(partial, format="PNG")
