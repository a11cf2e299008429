"""What the imports of all tasks have in common: where examples go, where images are looked up, what is told."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interbert.sources.official.images import Images
    from interbert.sources.official.rows import Example


def add_input(parser: argparse.ArgumentParser, names: str) -> None:
    parser.add_argument("--input", required=True, type=Path, metavar="FILE", help=names)


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE", help="file of examples to write"
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        type=Path,
        metavar="PATH",
        help="stores in which the images are looked up; without any their usual names are written unseen",
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave rows out whose image the data lacks, and list them"
    )


def images_of(arguments: argparse.Namespace) -> "Images":
    from interbert.sources.official.images import Images

    if arguments.skip_missing and not arguments.data:
        raise ValueError("--skip-missing leaves out what the data lacks: give --data")
    must_exist(arguments.data)
    return Images(arguments.data, arguments.skip_missing)


def must_exist(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")


def must_be_files(paths: Iterable[Path]) -> None:
    paths = list(paths)
    must_exist(paths)
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder; name the file in it")


def write(
    output: Path,
    rows: "Iterable[Example]",
    left_out: Counter[str],
    images: "Images",
) -> None:
    """Writes the examples, and tells how many there are and what was left out."""
    from interbert.sources.official.rows import write_examples

    tell(output, write_examples(output, _checked(rows, images), left_out), left_out)
    if images.missing:
        print(f"  images that the data lacks: {images.told()}")


def tell(output: Path, count: int, left_out: Counter[str]) -> None:
    print(f"{output}: {count:,} examples")
    for reason, times in left_out.most_common():
        print(f"  {times:,} rows were left out: {reason}")


def _checked(rows: "Iterable[Example]", images: "Images") -> "Iterator[Example]":
    """Ends as a refusal where images are missing, so that no file is left."""
    yield from rows
    images.refuse()
