"""`python -m interbert tokenizer`: train a WordPiece tokenizer on the captions of a data set."""

import argparse
from pathlib import Path

from interbert.data.corpus import Corpus
from interbert.tokenizer import train_wordpiece

HELP = "train a WordPiece tokenizer on the captions of a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="new directory for it")


def run(args: argparse.Namespace) -> int:
    with Corpus(args.data) as corpus:
        tokenizer = train_wordpiece(corpus.texts(), args.size, args.output)
        print(f"{args.output}: {tokenizer.vocab_size} entries from {corpus.captions} captions")
    return 0
