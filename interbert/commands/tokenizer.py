"""`python -m interbert tokenizer`: train a WordPiece tokenizer on the captions of a data set."""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.commands.output import TOKENIZER, add_overwrite, output_path

if TYPE_CHECKING:
    from interbert.corpus.corpus import Corpus

HELP = "train a WordPiece tokenizer on the captions of a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from interbert.tokenizer import NORMALISED

    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="STORE",
        help="stores, or directories of shards",
    )
    parser.add_argument(
        "--size", type=int, default=30522, metavar="N", help="most entries it may have (30522)"
    )
    parser.add_argument(
        "--normalise",
        nargs="+",
        default=[],
        choices=NORMALISED,
        help="make alike what Chinese texts write in two ways: width, letters, digits and marks of full width those "
        "of half width (NFKC); quotes, curled ones straight ones",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="new directory for it")
    add_overwrite(parser)


def run(args: argparse.Namespace) -> int:
    from interbert.corpus.corpus import Corpus
    from interbert.files import new_folder, partial_folder, settle_folder
    from interbert.tokenizer import train_wordpiece

    output = output_path(args.output, args.overwrite, args.data, folder=TOKENIZER)
    with Corpus(args.data) as corpus:
        partial = new_folder(partial_folder(output))
        try:
            tokenizer = train_wordpiece(_Captions(corpus), args.size, partial, args.normalise)
            settle_folder(partial, output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        print(f"{output}: {tokenizer.vocab_size} entries from {corpus.captions} captions")
    return 0


class _Captions:
    """The captions as something that can be gone through twice, so that they need not be held in memory."""

    def __init__(self, corpus: "Corpus") -> None:
        self._corpus = corpus

    def __iter__(self) -> Iterator[str]:
        return self._corpus.texts()
