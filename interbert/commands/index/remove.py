"""`interbert index remove`: items that are not to be found any more."""

import argparse
from pathlib import Path

HELP = "remove items by their ids"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("index", type=Path, metavar="INDEX", help="a folder that `interbert index build` made")
    add("ids", nargs="*", metavar="ID", help="of items")
    add("--file", type=Path, metavar="FILE", help="more ids, one a line")


def run(arguments: argparse.Namespace) -> int:
    from interbert.search.index.index import Index

    ids = [*arguments.ids, *(arguments.file.read_text().split("\n") if arguments.file else [])]
    ids = [one for one in ids if one]
    if not ids:
        raise ValueError("no ids: give some behind the index, or --file FILE with one a line")
    with Index.open(arguments.index) as index:
        _, gone = index.remove(ids)
        unknown = len(dict.fromkeys(ids)) - gone
        print(f"{gone:,} items removed" + (f"; {unknown:,} ids were not there" if unknown else ""))
    return 0
