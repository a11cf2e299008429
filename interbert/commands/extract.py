"""`python -m interbert extract`: region features of people's own images, into a store."""

import argparse
import time
from pathlib import Path

from interbert.commands.caption_options import add_caption_arguments, caption_files
from interbert.commands.import_ import DEFAULT_SHARD_GB, store_output, summary
from interbert.commands.output import add_overwrite
from interbert.printing import printable

_METHOD = 2
"""Counts up when images are decoded in another way, so that no old shards are joined to new ones."""
HELP = "compute region features of your own images with a detector or a patch encoder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Features of images: of folders, tars and zips, of tables (parquet, arrow) and TSVs. A detector of the DETR "
        "family gives its surest queries as regions, with boxes and class distributions; ViT, CLIP or DINO a grid of "
        "cells. Killed and started again, it goes on behind the last finished shard; under mpirun the ranks (and "
        "their GPUs) share the images."
    )
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        type=Path,
        metavar="PATH",
        help="folders, with all folders in them; images; tars, zips; parquet, arrow; TSVs with base64",
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE|DIR", help="FILE.h5, or a new folder"
    )
    add_overwrite(parser)
    add_model_arguments(parser, "--model")
    _add_field_arguments(parser)
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="images at a time (8)")
    add_caption_arguments(parser)
    parser.add_argument(
        "--shard-gb",
        type=float,
        default=DEFAULT_SHARD_GB,
        metavar="N",
        help=f"size of a shard ({DEFAULT_SHARD_GB:g})",
    )
    parser.add_argument(
        "--skip-bad",
        type=int,
        default=0,
        metavar="MAX",
        help="leave up to MAX broken images out and list them (0)",
    )


def _add_field_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image-field", metavar="NAME", help="column with the images, or their names' ending; else found out"
    )
    parser.add_argument(
        "--caption-field",
        nargs="+",
        default=[],
        metavar="NAME",
        help="columns, or names in JSON, with captions; else caption, captions, text, sentences",
    )
    parser.add_argument(
        "--id-field", metavar="NAME", help="column with the ids; columns without names are numbered from 1"
    )
    parser.add_argument(
        "--ignore-beside", action="store_true", help="leave .txt and .json files beside images alone"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="that read and decode (all cores, shared by ranks)"
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=128,
        metavar="N",
        help="larger images are bad ones, not decoded (128)",
    )


def add_model_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    which = parser.add_mutually_exclusive_group(required=name == "--model")
    which.add_argument(name, metavar="DIR|NAME", help="Hugging Face directory, or a hub name")
    which.add_argument(
        "--encoder", metavar="FILE.py:FUNCTION", help="or an encoder of your own (docs/own_images.md)"
    )
    parser.add_argument(
        "--confidence", type=float, default=0.2, metavar="P", help="queries surer than this are regions (0.2)"
    )
    parser.add_argument(
        "--regions",
        default="10:36",
        metavar="MIN:MAX",
        help="at least and at most of an image, the surest (10:36)",
    )
    parser.add_argument(
        "--grid",
        type=int,
        metavar="N",
        help="cells a side, of a patch encoder (6; of your own all that it gives)",
    )


def run(arguments: argparse.Namespace) -> int:
    from interbert.mpi import mpi_world

    _check(arguments)
    output = store_output(arguments, [*arguments.images, *arguments.captions])
    world, start = mpi_world(), time.perf_counter()
    try:
        report, speed = _extract(arguments, output, caption_files(arguments), world)
    except BaseException as error:
        if world.size > 1:  # the others would wait for ever
            print(f"interbert: rank {world.rank}: {error}", flush=True)
            world.abort()
        raise
    if world.rank == 0:
        print(summary(output, report, time.perf_counter() - start))
        print(speed)
    return 0


def _extract(arguments: argparse.Namespace, output: Path, captions, world) -> tuple[dict, str]:
    """The report, and how fast it was, in words."""
    from dataclasses import replace

    from interbert.corpus.cache import key
    from interbert.sources.images.containers.container import Fields
    from interbert.sources.images.containers.recognise import open_containers
    from interbert.sources.images.decode import Limits
    from interbert.sources.images.source import ImageSource
    from interbert.sources.importing.driver import Wishes, import_rows, rows_of_rank

    fields = Fields(
        arguments.image_field, tuple(arguments.caption_field), arguments.id_field, not arguments.ignore_beside
    )
    containers = open_containers(arguments.images, fields)
    stamp, vision = load(arguments, arguments.model, world.rank, arguments.batch)
    images = sum(len(one.ids) for one in containers)
    end = rows_of_rank(images, world).stop
    threads = arguments.threads or threads_of_rank(world)
    limits = Limits(arguments.max_megapixels)
    with ImageSource(containers, vision, limits, threads, end) as source:
        if world.rank == 0:
            print("\n".join(map(printable, source.told())), flush=True)
        by = Path(arguments.model or arguments.encoder).name
        about = f"{', '.join(path.name for path in arguments.images)} by {by}"
        wishes = Wishes(
            output, int(arguments.shard_gb * 1e9), 0, about, arguments.skip_bad, vision.features_of,
            work="extracting", rows="images",
        )  # fmt: skip
        # Batches and threads change nothing.
        what = key(
            "extract",
            _METHOD,
            stamp,
            replace(vision.choice, batch=0),
            source.stamp,
            fields,
            limits.megapixels,
        )
        began = time.perf_counter()
        report = import_rows(source, captions, wishes, world, what)
        seconds = time.perf_counter() - began
        done, encoding = map(sum, zip(*world.gather((source.images, source.seconds_of_encoder)), strict=True))
    share = encoding / world.size / seconds
    return (
        report,
        f"  {done / seconds:,.0f} images/s; {share:.0%} of the time was the model's, on {threads} threads",
    )


def threads_of_rank(world) -> int:
    """The cores that this process may use, shared by the ranks that MPI has started on this host."""
    import os

    ranks = os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or os.environ.get("MPI_LOCALNRANKS") or world.size
    return max(len(os.sched_getaffinity(0)) // int(ranks), 1)


def load(arguments: argparse.Namespace, name: str | None, rank: int = 0, batch: int = 1):
    """What changes when the vision model does, and the model on this rank's device. name: None where --encoder is
    given."""
    import torch

    from interbert.hub import local_folder
    from interbert.sources.images.own import load_own
    from interbert.sources.images.vision import Choice, load_vision

    low, _, high = arguments.regions.partition(":")
    if not (low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)):
        raise ValueError(f"--regions {arguments.regions}: write it as MIN:MAX, such as 10:36")
    if not 0 <= arguments.confidence <= 1 or (arguments.grid is not None and arguments.grid < 1):
        raise ValueError("--confidence is a share from 0 to 1, --grid at least 1")
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")
    choice = Choice(arguments.confidence, int(low), int(high), arguments.grid, batch)
    if name is None:
        own = load_own(arguments.encoder, choice, device)
        file = Path(arguments.encoder.rpartition(":")[0]).expanduser()
        return [own.features_of, *(_stat(path) for path in [file] if path.is_file())], own
    folder = local_folder(name)
    called = Path(name).resolve().name if Path(name).is_dir() else name
    return [_stat(path) for path in sorted(folder.iterdir())], load_vision(folder, choice, device, called)


def _stat(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns


def _check(arguments: argparse.Namespace) -> None:
    for path in arguments.images:
        if not path.exists():
            raise ValueError(f"--images {path}: no such file or folder")
    if arguments.batch < 1 or arguments.skip_bad < 0 or arguments.shard_gb <= 0:
        raise ValueError("--batch is at least 1, --skip-bad at least 0, --shard-gb above 0")
    if (arguments.threads is not None and arguments.threads < 1) or arguments.max_megapixels <= 0:
        raise ValueError("--threads is at least 1, --max-megapixels above 0")
