"""`interbert index split`: one index as several, for several machines."""

import argparse
import os
from pathlib import Path

HELP = "copy an index into several, each with a share of its items"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("index", type=Path, metavar="INDEX", help="a folder that `interbert index build` made")
    add("--shards", required=True, type=int, metavar="N", help="how many")
    add("--output", required=True, type=Path, metavar="DIR", help="a folder for them: DIR/0, DIR/1, …")


def run(arguments: argparse.Namespace) -> int:
    from interbert.commands.index.build import partial_of
    from interbert.progress import Progress
    from interbert.search.index.index import Index
    from interbert.search.index.split import split

    if arguments.shards < 1:
        raise ValueError(f"--shards is {arguments.shards}: give 1 or more")
    with (
        Index.open(arguments.index) as source,
        Progress("copying", len(source), "items", shown=True) as progress,
    ):
        partial = partial_of(arguments.output)
        paths = split(source, partial, arguments.shards, progress.advance)
    os.rename(partial, arguments.output)
    for path in paths:
        there = arguments.output / path.name
        with Index.open(there, read_only=True) as index:
            print(f"{there}: {index.truth.count():,} items")
    return 0
