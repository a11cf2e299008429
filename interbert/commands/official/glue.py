"""`python -m interbert import glue`."""

import argparse
from collections import Counter
from pathlib import Path

from interbert.commands.official.shared import must_exist, tell
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
    from interbert.sources.official.rows import write_examples

    must_exist([arguments.input])
    files = files_of(arguments.input, arguments.task)
    output = output_path(arguments.output, arguments.overwrite, [arguments.input], folder=EXAMPLES)
    partial = new_folder(partial_folder(output))
    counts, left_out = {}, {split: Counter() for split in files}
    try:
        for split, path in files.items():
            rows = examples_of_table(path, arguments.task, split, left_out[split])
            name = f"{split}.jsonl"
            counts[split] = write_examples(partial / name, rows, left_out[split], output / name)
        remove(output)
        partial.rename(output)
    finally:
        remove(partial)
    for split, count in counts.items():
        tell(output / f"{split}.jsonl", count, left_out[split])
    return 0
