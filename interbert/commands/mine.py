"""`python -m interbert mine`: hard negatives of a data set, as a table for training."""

import argparse
import os
import time
from pathlib import Path
from typing import get_args

from interbert.commands.output import add_overwrite, output_path

HELP = "mine hard negatives: near captions of other images, or images that look alike"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from interbert.config import Words

    parser.description = (
        "For each caption the nearest captions of other images by TF-IDF, without those so near that they may be "
        "true; a run takes the table by mismatch.hard_table. Stopped at any moment, it goes on where it was; "
        "under mpirun the ranks share the work."
    )
    parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="STORE", help="stores")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="table to write (HDF5)")
    add_overwrite(parser)
    parser.add_argument(
        "--of", choices=("captions", "images"), default="captions", help="what to compare (captions)"
    )
    parser.add_argument("--top", type=int, metavar="N", help="how many of each (30 captions, 100 images)")
    parser.add_argument(
        "--max-similarity", type=float, default=0.5, metavar="S", help="captions this near are left out (0.5)"
    )
    parser.add_argument(
        "--mass",
        type=float,
        default=0.97,
        metavar="SHARE",
        help="share of the exact neighbours' similarity that is enough; 1: exact, which takes very long for "
        "millions (0.97)",
    )
    parser.add_argument(
        "--words",
        choices=get_args(Words),
        default="character",
        help="what captions are compared by: words between spaces and each Chinese character, or words as rjieba "
        "cuts them (character)",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes on this machine (as many as cores; under MPI 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    output = output_path(arguments.output, arguments.overwrite, arguments.data)

    from interbert.corpus.corpus import Corpus  # seconds of imports, once they are needed
    from interbert.mining.run import mine_captions, mine_images
    from interbert.mpi import mpi_world

    world = mpi_world()
    processes = arguments.processes or (1 if world.size > 1 else len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    try:
        with Corpus(arguments.data) as corpus:
            if arguments.of == "images":
                table = mine_images(corpus, output, arguments.top or 100, processes, world)
            else:
                table = mine_captions(
                    corpus,
                    output,
                    arguments.top or 30,
                    arguments.max_similarity,
                    arguments.mass,
                    processes,
                    world,
                    arguments.words,
                )
    except BaseException as error:
        if world.size > 1:  # the others would wait for ever
            print(f"interbert: rank {world.rank}: {error}", flush=True)
            world.abort()
        raise
    if table is not None:
        full = (table.rows >= 0).all(axis=1).mean()
        spent = time.perf_counter() - start
        print(
            f"{output}: {table.rows.shape[1]} of each of {len(table.rows):,} {arguments.of}, "
            f"{full:.1%} have as many, in {spent:.0f} s"
        )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.top is not None and arguments.top < 1:
        raise ValueError(f"--top {arguments.top}: at least 1")
    if not 0 < arguments.max_similarity <= 1:
        raise ValueError(f"--max-similarity {arguments.max_similarity}: above 0, at most 1")
    if not 0 < arguments.mass <= 1:
        raise ValueError(f"--mass {arguments.mass}: a share above 0, at most 1")
    if arguments.of == "images" and arguments.words != "character":
        raise ValueError("--words is of captions: leave it out with --of images")
    if arguments.processes is not None and arguments.processes < 1:
        raise ValueError(f"--processes {arguments.processes}: at least 1")
