"""`interbert index split`: one index as several, for several machines."""

import argparse
from pathlib import Path

HELP = "copy an index into several, each with a share of its items"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("index", type=Path, metavar="INDEX", help="a folder that `interbert index build` made")
    add("--shards", required=True, type=int, metavar="N", help="how many")
    add("--output", required=True, type=Path, metavar="DIR", help="a folder for them: DIR/0, DIR/1, …")


def run(arguments: argparse.Namespace) -> int:
    from interbert.progress import Progress
    from interbert.search.index.index import Index
    from interbert.search.index.split import split

    if arguments.shards < 1:
        raise ValueError(f"--shards is {arguments.shards}: give 1 or more")
    with (
        Index.open(arguments.index) as source,
        Progress("copying", len(source), "items", shown=True) as progress,
    ):
        paths = split(source, arguments.output, arguments.shards, progress.advance)
    for path in paths:
        with Index.open(path, read_only=True) as index:
            print(f"{path}: {index.truth.count():,} items")
    return 0
