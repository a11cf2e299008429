"""The flags that `interbert index build` and `interbert index add` share."""

import argparse
from pathlib import Path


def add_item_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        required=True,
        nargs="+",
        type=Path,
        metavar="STORE",
        help="stores, or directories of shards",
    )
    add(
        "--titles",
        choices=("caption", "none"),
        default="caption",
        help="an item's title: its first caption (caption)",
    )
    add("--device", metavar="NAME", help="cpu or cuda (a GPU where there is one)")
