"""`python -m interbert import FORMAT`: features in the formats that people hold, into stores."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interbert.commands.output import SHARDS, add_overwrite, output_path

HELP = "bring features of another format into a store"
FORMATS = {
    "bottom-up-tsv": "rows of bottom-up attention, arrays in base64",
    "vilbert-lmdb": "ViLBERT's and InterBERT's LMDB for fine-tuning: image id to pickled dictionary",
    "tensorpack-lmdb": "their LMDB for pretraining, captions inside",
    "volta-h5": "VOLTA's HDF5, a group an image",
    "uniter-npz": "a folder of UNITER's npz files",
    "uniter-lmdb": "UNITER's LMDB of them",
}
DEFAULT_SHARD_GB = 4.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Foreign features into a store, or into a folder of stores where --output does not end in .h5.\n"
        "Killed at any moment and started again, it goes on behind the last finished shard.\n"
        "Under mpirun each rank imports its part."
    )
    parser.description += "\nThe official files of a task: import vqa2|nlvr2|snli-ve|vcr|refcoco|glue --help"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "formats:\n" + "\n".join(f"  {name:<16} {text}" for name, text in FORMATS.items())
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help="see below")
    parser.add_argument(
        "--input", nargs="+", required=True, type=Path, metavar="PATH", help="files or folders"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE|DIR", help="FILE.h5, or a new folder"
    )
    add_overwrite(parser)
    parser.add_argument(
        "--captions", nargs="+", default=[], type=Path, metavar="FILE",
        help="Karpathy JSON, jsonline, caption_train.json or CSV",
    )  # fmt: skip
    parser.add_argument(
        "--split", metavar="NAME", help="of the Karpathy JSON: only its images and captions are imported"
    )
    parser.add_argument(
        "--shard-gb",
        type=float,
        default=DEFAULT_SHARD_GB,
        metavar="N",
        help=f"size of a shard ({DEFAULT_SHARD_GB:g})",
    )
    parser.add_argument(
        "--classes", type=int, default=1601, metavar="K", help="of the detector, for hard labels (1601)"
    )
    parser.add_argument(
        "--skip-bad",
        type=int,
        default=0,
        metavar="MAX",
        help="leave up to MAX bad rows out and list them (0)",
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.mpi import mpi_world
    from interbert.sources.importers.captions import Captions
    from interbert.sources.importers.driver import Wishes, import_rows

    _check(arguments)
    output = store_output(arguments, [*arguments.input, *arguments.captions])
    world, start = mpi_world(), time.perf_counter()
    try:
        captions = Captions(arguments.captions, arguments.split)
        wishes = Wishes(
            output,
            int(arguments.shard_gb * 1e9),
            arguments.classes,
            f"{arguments.format}: {', '.join(path.name for path in arguments.input)}",
            arguments.skip_bad,
        )
        source = _source_of(arguments.format)(arguments.input)
        report = import_rows(source, captions, wishes, world, arguments.format)
    except BaseException as error:
        if world.size > 1:  # the others would wait for ever
            print(f"interbert: rank {world.rank}: {error}", flush=True)
            world.abort()
        raise
    if world.rank == 0:
        print(summary(output, report, time.perf_counter() - start))
    return 0


def _source_of(name: str) -> Callable[[list[Path]], Any]:
    if name == "bottom-up-tsv":
        from interbert.sources.importers.tsv import TsvSource as source
    elif name == "vilbert-lmdb":
        from interbert.sources.importers.vilbert_lmdb import vilbert_lmdb as source
    elif name == "tensorpack-lmdb":
        from interbert.sources.importers.tensorpack_lmdb import tensorpack_lmdb as source
    elif name == "volta-h5":
        from interbert.sources.importers.volta_h5 import VoltaSource as source
    elif name == "uniter-npz":
        from interbert.sources.importers.uniter import NpzSource as source
    else:
        from interbert.sources.importers.uniter import uniter_lmdb as source
    return source


def store_output(arguments: argparse.Namespace, inputs: list[Path]) -> Path:
    from interbert.store.shards import SUFFIXES

    folder = None if arguments.output.suffix in SUFFIXES else SHARDS
    return output_path(arguments.output, arguments.overwrite, inputs, folder=folder)


def summary(output: Path, report: dict[str, Any], seconds: float) -> str:
    lines = [f"{output}: {report['images']:,} images, {report['captions']:,} captions, in {seconds:.0f} s"]
    told = {
        "without_captions": "images have no caption",
        "captions_without_image": "images with captions have no features here",
        "other_split": "rows have no caption in the split and were left out",
    }
    lines += [f"  {report[name]:,} {what}" for name, what in told.items() if report[name]]
    if report["bad_rows"]:
        lines.append(f"  {len(report['bad_rows'])} bad rows were left out:")
        lines += [f"    {fault}" for fault in report["bad_rows"][:20]]
    return "\n".join(lines)


def _check(arguments: argparse.Namespace) -> None:
    for path in [*arguments.input, *arguments.captions]:
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    if arguments.shard_gb <= 0:
        raise ValueError(f"--shard-gb {arguments.shard_gb}: above 0")
    if arguments.split and not arguments.captions:
        raise ValueError("--split chooses among captions: give --captions with it")
    if arguments.skip_bad < 0 or arguments.classes < 1:
        raise ValueError("--skip-bad is at least 0, --classes at least 1")
