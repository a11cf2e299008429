"""`python -m interbert extract`: region features of people's own images, into a store."""

import argparse
import time
from pathlib import Path

from interbert.commands.caption_options import add_caption_arguments, caption_files
from interbert.commands.import_ import DEFAULT_SHARD_GB, store_output, summary
from interbert.commands.output import add_overwrite

HELP = "compute region features of your own images with a detector or a patch encoder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Features of all images below a folder. A detector of the DETR family gives its surest queries as regions, "
        "with boxes and class distributions; ViT, CLIP or DINO a grid of cells. Killed and started again, it goes on "
        "behind the last finished shard; under mpirun the ranks (and their GPUs) share the images."
    )
    parser.add_argument(
        "--images", required=True, type=Path, metavar="FOLDER", help="searched with all folders in it"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE|DIR", help="FILE.h5, or a new folder"
    )
    add_overwrite(parser)
    add_model_arguments(parser, "--model")
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


def add_model_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        name, required=name == "--model", metavar="DIR|NAME", help="Hugging Face directory, or a hub name"
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
        "--grid", type=int, default=6, metavar="N", help="cells a side, of a patch encoder (6)"
    )


def run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from interbert.corpus.cache import key
    from interbert.mpi import mpi_world
    from interbert.sources.images.source import ImageFolder
    from interbert.sources.importers.driver import Wishes, import_rows

    _check(arguments)
    output = store_output(arguments, [arguments.images, *arguments.captions])
    world, start = mpi_world(), time.perf_counter()
    try:
        folder, vision = load(arguments, arguments.model, world.rank, arguments.batch)
        source = ImageFolder(arguments.images, vision)
        about = f"{arguments.images.name} by {Path(arguments.model).name}"
        wishes = Wishes(output, int(arguments.shard_gb * 1e9), 0, about, arguments.skip_bad)
        stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
        what = key("extract", stats, replace(vision.choice, batch=0))  # batches change nothing
        captions = caption_files(arguments)
        report = import_rows(source, captions, wishes, world, what)
    except BaseException as error:
        if world.size > 1:  # the others would wait for ever
            print(f"interbert: rank {world.rank}: {error}", flush=True)
            world.abort()
        raise
    if world.rank == 0:
        print(summary(output, report, time.perf_counter() - start))
    return 0


def load(arguments: argparse.Namespace, name: str, rank: int = 0, batch: int = 1):
    """The vision model's directory, and the model on this rank's device."""
    import torch

    from interbert.hub import local_folder
    from interbert.sources.images.vision import Choice, load_vision

    low, _, high = arguments.regions.partition(":")
    if not (low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)):
        raise ValueError(f"--regions {arguments.regions}: write it as MIN:MAX, such as 10:36")
    if not 0 <= arguments.confidence <= 1 or arguments.grid < 1:
        raise ValueError("--confidence is a share from 0 to 1, --grid at least 1")
    gpus = torch.cuda.device_count()
    device = torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")
    choice = Choice(arguments.confidence, int(low), int(high), arguments.grid, batch)
    folder = local_folder(name)
    return folder, load_vision(folder, choice, device)


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.images.is_dir():
        raise ValueError(f"--images {arguments.images}: no such folder")
    if arguments.batch < 1 or arguments.skip_bad < 0 or arguments.shard_gb <= 0:
        raise ValueError("--batch is at least 1, --skip-bad at least 0, --shard-gb above 0")
