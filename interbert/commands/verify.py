"""`python -m interbert verify STORE…`: whether stores are whole and sound, and where they are not."""

import argparse
from pathlib import Path

HELP = "check stores: structure, checksums, every feature, box and caption"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="+", type=Path, help="store files, or directories of shards")


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from interbert.corpus.corpus import Corpus
    from interbert.printing import printable_lines
    from interbert.store.shards import store_files
    from interbert.store.verify import verify

    sound = True
    for path in arguments.data:
        files = store_files(path)
        for file in files:
            # disable=None: no bar where the output is not a terminal.
            with tqdm(unit=" images", desc=printable_lines(file.name), disable=None, leave=False) as bar:
                report = verify(file, bar.update)
            print(printable_lines(report))
            sound &= report.ok
        if len(files) > 1 and sound:
            Corpus([path]).close()  # what only shows between shards: widths, ids
    return 0 if sound else 1
