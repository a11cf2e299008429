"""`interbert index build`: every image of some stores, as a model sees them."""

import argparse
import os
from pathlib import Path

from interbert.commands.index.flags import add_item_flags

HELP = "make an index of the images of stores, by a model"
LONGEST_TEXT, MOST_REGIONS = 128, 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        type=Path,
        metavar="DIR",
        help="who will search; best one of `interbert distill`",
    )
    add("--output", required=True, type=Path, metavar="DIR", help="the index")
    add(
        "--max-regions",
        type=int,
        default=MOST_REGIONS,
        metavar="N",
        help=f"of an item; the first are kept ({MOST_REGIONS})",
    )
    add("--max-text-tokens", type=int, default=LONGEST_TEXT, metavar="N", help=f"of a query ({LONGEST_TEXT})")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="in which the model computes, here and in every search (auto: bf16 where that is fast)",
    )
    add_item_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.search.index.build import about_of, add_stores, encoder_for
    from interbert.search.index.index import Index

    for name in ("max_regions", "max_text_tokens"):
        if getattr(arguments, name) < 3:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}: give 3 or more")
    encoder, precision = encoder_for(arguments.model, arguments.precision, arguments.device)
    about = about_of(encoder, arguments.model, precision, arguments.max_regions, arguments.max_text_tokens)
    partial = partial_of(arguments.output)
    with Index.create(partial, about) as index:
        add_stores(index, encoder, arguments.data, arguments.titles, shown=True)
    with Index.open(partial) as index:  # as it will be opened: with its graph, if it needs one
        print(described(index), flush=True)
    os.rename(partial, arguments.output)
    return 0


def partial_of(output: Path) -> Path:
    """Where it is made: an index is whole or not there."""
    from interbert.files import new_folder, partial_folder

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output}: there is something already; give another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = new_folder(partial_folder(output))
    if output.exists():
        output.rmdir()
    return partial


def described(index) -> str:
    """For people."""
    about, megabytes = index.about, 1e-6
    vectors = {
        "distilled": f"distilled vectors of {index.width} numbers",
        "product": f"vectors of {index.width} numbers, the match head's own product, which nobody trained for this",
        None: "no vectors: every item is scored for each query",
    }[about["vectors"]]
    way = {"exact": "all are looked at for each query", "none": ""}.get(index.kind)
    if way is None:
        way = f"a graph of neighbours finds {index.recall:.2%} of the nearest 32"
    size = index.tokens.bytes * megabytes
    return "\n".join(
        [
            f"{len(index):,} items, {vectors}",
            *([way] if way else []),
            f"{size:,.0f} MB of rows that ranking begins with, in {about['precision']}; "
            f"{index.truth.path.stat().st_size * megabytes:,.0f} MB of database",
        ]
    )
