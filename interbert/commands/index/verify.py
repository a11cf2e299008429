"""`interbert index verify`: whether an index is whole, and where it is not."""

import argparse
from pathlib import Path

HELP = "check an index: its database, each item's rows and vector, the stores it names, its snapshots"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "index", type=Path, metavar="INDEX", help="a folder that `interbert index build` made"
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.printing import printable_lines
    from interbert.search.index.index import Index

    with Index.open(arguments.index, read_only=True) as index:
        faults = index.verify(say=lambda line: print(line, flush=True))
    for fault in faults:
        print(printable_lines(fault))
    print("sound" if not faults else f"{len(faults):,} fault(s)")
    return 1 if faults else 0
