"""Mining from a data set into a table: on any number of processes or MPI ranks, to be stopped and taken up."""

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from interbert.config import Words
from interbert.corpus import cache
from interbert.files import new_folder, partial_folder, read_json
from interbert.mining.calibrate import calibrate
from interbert.mining.job import Job, gather, rows_done, work_off
from interbert.mining.kin import captions_kin, images_kin
from interbert.mining.negatives import CandidateTable, write_candidates
from interbert.mining.neighbours import NeighbourTable, pooled_features, write_neighbours
from interbert.mining.pruned import PrunedSearch
from interbert.mining.vectors import by_frequency, save_matrix, tfidf
from interbert.mpi import World
from interbert.progress import Progress

_METHOD = 2
"""Counts up when the way of mining changes, so that no old blocks are joined to new ones."""


def mine_captions(
    corpus: Any,
    output: Path,
    top: int,
    below: float,
    wanted: float,
    processes: int,
    world: World,
    words: Words = "character",
) -> CandidateTable | None:
    """The table on the first rank, None on the others."""
    what = (corpus.fingerprint, "captions", top, below, wanted, _METHOD)
    identity = cache.key(*what, *([] if words == "character" else [words]))

    def prepare(folder: Path) -> Job:
        kin = captions_kin(corpus)
        _say(f"{corpus.captions:,} captions as TF-IDF vectors")
        weights_CW = tfidf(islice(corpus.texts(), corpus.captions), corpus.captions, words)
        found = calibrate(weights_CW, kin, top, below, wanted)
        notes = {
            "searched_captions": found.pool,
            "dropped_words": found.dropped,
            "mass": found.mass,
            "mass_sample": found.sample,
            "words": words,
        }
        _say(_describe(found, *weights_CW.shape))
        kin.save(folder)
        if found.dropped:
            PrunedSearch.of(weights_CW, by_frequency(weights_CW)[: found.dropped]).save(folder)
        else:
            save_matrix(folder, "weights_CW", weights_CW)
        kind = "pruned" if found.dropped else "dense"
        return Job(kind, corpus.captions, top, below, found.pool, identity, notes)

    def finish(job: Job, rows: np.ndarray) -> CandidateTable:
        table = CandidateTable(rows, corpus.fingerprint, below, job.notes)
        write_candidates(output, table)
        return table

    return _mine(output, identity, prepare, finish, processes, world, "captions")


def mine_images(corpus: Any, output: Path, top: int, processes: int, world: World) -> NeighbourTable | None:
    """For each image the `top` nearest others by the cosine of their mean region features."""
    identity = cache.key(corpus.fingerprint, "images", top, _METHOD)

    def prepare(folder: Path) -> Job:
        _say(f"means of the region features of {corpus.images:,} images")
        np.save(folder / "vectors.npy", pooled_features(corpus))
        images_kin(corpus).save(folder)
        return Job("dense", corpus.images, top, 2.0, corpus.images, identity, {})

    def finish(_: Job, rows: np.ndarray) -> NeighbourTable:
        table = NeighbourTable(rows, corpus.fingerprint)
        write_neighbours(output, table)
        return table

    return _mine(output, identity, prepare, finish, processes, world, "images")


def _mine(
    output: Path,
    identity: str,
    prepare: Callable[[Path], Job],
    finish: Callable[[Job, np.ndarray], Any],
    processes: int,
    world: World,
    unit: str,
) -> Any:
    """Inputs, blocks of rows, table; what was done before for the same identity is not done again."""
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = partial_folder(output)
    if world.rank == 0:
        if not _is_of(folder, identity):
            prepare(new_folder(folder)).save(folder)
        else:
            _say(f"going on from {folder}")
    world.barrier()
    job = Job.load(folder)
    with Progress("mining", job.rows, unit, shown=world.rank == 0) as progress:
        progress.advance(rows_done(folder, job))
        world.barrier()
        work_off(folder, job, world.rank, world.size, processes, progress)
    world.barrier()
    if world.rank:
        return None
    table = finish(job, gather(folder, job))
    shutil.rmtree(folder)
    return table


def _is_of(folder: Path, identity: str) -> bool:
    path = folder / "job.json"  # written last, when all inputs are there
    return path.is_file() and read_json(path)["identity"] == identity


def _describe(found: Any, captions: int, words: int) -> str:
    if found.dropped:
        way = f"sought without the {found.dropped} most frequent of {words:,} words, judged with all"
    elif found.pool < captions:
        way = f"each caption among {found.pool:,} random others, drawn anew for each block"
    else:
        return "each caption among all others, exactly"
    return f"{way}: {found.mass:.1%} of the exact neighbours' similarity on {found.sample} captions"


def _say(text: str) -> None:
    print(text, flush=True)
