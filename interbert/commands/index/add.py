"""`interbert index add`: more images, by the model that made the index."""

import argparse
from pathlib import Path

from interbert.commands.index.flags import add_item_flags

HELP = "add the images of stores; one whose id is there takes that one's place"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("index", type=Path, metavar="INDEX", help="a folder that `interbert index build` made")
    add("--model", type=Path, metavar="DIR", help="the model that made it (default: where it was then)")
    add_item_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.commands.index.build import described
    from interbert.search.index.build import add_stores, encoder_for
    from interbert.search.index.index import Index
    from interbert.search.mark import mark_of

    with Index.open(arguments.index) as index:
        model = arguments.model or Path(index.about["model_path"])
        index.must_be_of(mark_of(model), model)
        encoder, _ = encoder_for(model, index.about["precision"], arguments.device)
        added = add_stores(index, encoder, arguments.data, arguments.titles, shown=True)
        print(f"{added:,} items put\n{described(index)}")
    return 0
