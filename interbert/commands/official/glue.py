"""`python -m interbert import glue`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import must_exist, write
from interbert.commands.output import FolderKind, output_path

ABOUT = "A task of GLUE: tables of one or two texts, into examples of text alone."
EXAMPLES = FolderKind("examples", ("*.jsonl",), (".interbert-cache",))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from interbert.sources.official.glue_tasks import TASKS

    add = parser.add_argument
    add(
        "--input",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="of the task: train.tsv, dev.tsv, test.tsv",
    )
    names = f"{', '.join(TASKS)}; ax has a test file alone, for a model of mnli"
    add("--task", required=True, type=_plain, choices=TASKS, metavar="NAME", help=names)
    add(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for train.jsonl, dev.jsonl, test.jsonl",
    )


def _plain(name: str) -> str:
    """SST-2 is sst2."""
    return name.lower().replace("-", "")


def run(arguments: argparse.Namespace) -> int:
    from interbert.files import new_folder, partial_folder, remove
    from interbert.sources.official.glue import examples_of_table, files_of

    must_exist([arguments.input])
    files = files_of(arguments.input, arguments.task)
    output = output_path(arguments.output, arguments.overwrite, [arguments.input], folder=EXAMPLES)
    partial = new_folder(partial_folder(output))
    try:
        for split, path in files.items():
            left_out = Counter()
            rows = examples_of_table(path, arguments.task, split, left_out)
            write(partial / f"{split}.jsonl", rows, left_out, named=output / f"{split}.jsonl")
        remove(output)
        partial.rename(output)
    finally:
        remove(partial)
    return 0
