"""From a foreign data set to stores: shard after shard, on one process or many ranks, to be killed and continued.

The rows are cut into one run of neighbours for each rank, and a run into shards by size. A finished shard and the
place behind it are kept in a hidden folder beside the output; only when all ranks are done does the output appear,
at once.
"""

import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from interbert.corpus.cache import key
from interbert.corpus.corpus import Corpus
from interbert.corpus.join import join_stores
from interbert.files import new_folder, partial_folder, read_json, remove, settle_folder, write_json
from interbert.mpi import World
from interbert.progress import Progress
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.layout import storable
from interbert.sources.captions.matched import MatchedCaptions
from interbert.sources.importing.captions_of_rows import matched_captions
from interbert.sources.importing.read_ahead import ReadAhead
from interbert.sources.importing.shard import Shard, Wishes
from interbert.sources.record import ImportFault, Source, surest_first
from interbert.store import halves
from interbert.store.known_names import KnownNames
from interbert.store.shards import SUFFIXES
from interbert.store.store import Store

_METHOD = 5
"""Counts up when rows are read in another way, so that no old shards are joined to new ones."""
_CAPTIONS = "captions"
"""Folder of their index."""


@dataclass
class Done:
    """What is known of one rank's run of rows."""

    next: int = 0
    """Rows before this one, counted within the run, are in finished shards."""
    shards: int = 0
    images: int = 0
    captions: int = 0
    captions_again: int = 0
    """Of a file, in the words of a caption that the image had already."""
    other_split: int = 0
    without_captions: int = 0
    without_size: int = 0
    bad: list[str] = field(default_factory=list)


def import_rows(
    source: Source, captions: CaptionFiles, wishes: Wishes, world: World, what: str
) -> dict[str, object]:
    """The report, on every rank. `what`: of all that decides the content besides files and wishes."""
    folder = partial_folder(wishes.output)
    identity = _identity(source, captions, wishes, world, what)
    if world.rank == 0:
        _provide(folder, identity)
    world.barrier()
    rows = rows_of_rank(len(source.keys), world)
    if "torch" in sys.modules or sum(path.stat().st_size for path in source.files) > halves.WORTH:
        halves.hasten()
    matched = matched_captions(source, rows, captions, folder / _CAPTIONS, world)
    done = _import_run(source, rows, matched, bool(captions.splits), wishes, folder, world)
    report = _report(world.gather(done), matched)
    if world.rank == 0:
        _settle(folder, wishes.output, report)
    world.barrier()
    return report


def rows_of_rank(rows: int, world: World) -> range:
    """Its run of neighbours."""
    return range(rows * world.rank // world.size, rows * (world.rank + 1) // world.size)


def _identity(source: Source, captions: CaptionFiles, wishes: Wishes, world: World, what: str) -> str:
    files = [*source.files, *captions.files]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    of_captions = (captions.splits, captions.encoding, captions.match, captions.allow_unmatched)
    names = wishes.class_names, wishes.attribute_names
    options = (wishes.shard_bytes, wishes.classes, names, wishes.features_of, *of_captions, world.size)
    return key(_METHOD, what, stats, options)


def _provide(folder: Path, identity: str) -> None:
    """The folder of unfinished work: that of an earlier start, if it was the same work."""
    marker = folder / "job.json"
    if marker.is_file() and read_json(marker)["identity"] == identity:
        if _is_whole(folder):
            print(f"going on from {folder}", flush=True)
            for torn in folder.glob(".*.partial"):  # what was being written when it was killed
                remove(torn)
            return
        print(f"{folder} lacks a shard that it had; beginning anew", flush=True)
    elif folder.exists():
        print(f"{folder} is of other inputs or options; beginning anew", flush=True)
    new_folder(folder)
    write_json(marker, {"identity": identity})


def _is_whole(folder: Path) -> bool:
    """Whether all finished shards are there: one that became the output is not."""
    return all(
        (folder / _shard_name(int(path.stem.partition("_")[2]), number)).is_file()
        for path in folder.glob("rank_*.json")
        for number in range(read_json(path)["shards"])
    )


def _import_run(
    source: Source | ReadAhead,
    rows: range,
    captions: MatchedCaptions | None,
    of_split: bool,
    wishes: Wishes,
    folder: Path,
    world: World,
) -> Done:
    state = folder / f"rank_{world.rank:04d}.json"
    done = Done(**read_json(state)) if state.is_file() else Done()
    shards = [folder / _shard(world, number) for number in range(done.shards)]
    seen = KnownNames()
    for path in shards:
        _add_ids(path, seen)
    title = wishes.work if world.size == 1 else f"{wishes.work}, rank {world.rank} of {world.size}"
    shown = world.rank == 0
    with (
        ReadAhead(source, rows[done.next :]) if wishes.read_ahead else nullcontext(source) as source,
        Progress(title, len(rows), wishes.rows, shown=shown, before=done.next) as progress,
    ):
        while done.next < len(rows):
            path = folder / _shard(world, done.shards)
            _write_shard(path, source, rows, done, seen, captions, of_split, wishes, progress)
            write_json(state, asdict(done))
    return done


def _shard(world: World, number: int) -> str:
    return _shard_name(world.rank, number)


def _shard_name(rank: int, number: int) -> str:
    return f"shard_{rank:04d}_{number:05d}.h5"


def _add_ids(path: Path, seen: KnownNames) -> None:
    with Store(path) as store:
        for block in store.ids.blocks():
            for name in block:
                seen.add(name)


def _write_shard(
    path: Path,
    source: Source | ReadAhead,
    rows: range,
    done: Done,
    seen: KnownNames,
    captions: MatchedCaptions | None,
    of_split: bool,
    wishes: Wishes,
    progress: Progress,
) -> None:
    """One shard from the next rows; `done` is brought up to date when it is whole.

    of_split: only images that have captions in the files are wanted.
    """
    row, other_split = done.next, 0
    with Shard(path, source, seen, wishes, list(done.bad)) as shard:
        while row < len(rows) and shard.bytes < wishes.shard_bytes:
            number, row = rows[row], row + 1
            progress.advance(1)
            try:
                record = surest_first(source.read(number))
                for text in record.captions:
                    storable(text, "caption")
                found = captions.of(record.image_id) if captions else []
            except ValueError as error:
                shard.refuse(number, error)
                continue
            if of_split and not found:
                other_split += 1
                continue
            shard.add(number, record, found)
            if row == len(rows) or shard.bytes >= wishes.shard_bytes:
                shard.settle()  # of which some may be bad, so that there is room
        done.shards += shard.close()
    done.next, done.bad = row, shard.bad
    done.other_split += other_split
    for name, count in shard.counted.items():
        setattr(done, name, getattr(done, name) + count)


def _report(done: list[Done], captions: MatchedCaptions | None) -> dict[str, object]:
    names = ("images", "captions", "without_captions", "without_size", "other_split", "captions_again")
    total = {name: sum(getattr(d, name) for d in done) for name in names}
    matches = captions.matches if captions else []
    total["captions_without_image"] = sum(match.images - match.matched for match in matches)
    bad = [fault for d in done for fault in d.bad]
    return {**total, "caption_files": [asdict(match) for match in matches], "bad_rows": bad}


def _settle(folder: Path, output: Path, report: dict[str, object]) -> None:
    """Gives the output its name; the unfinished work goes."""
    if not report["images"]:
        raise ImportFault(f"{output}: no row was imported; nothing is written")
    shards = sorted(folder.glob("shard_*.h5"))
    if output.suffix in SUFFIXES:
        if len(shards) == 1:
            os.replace(shards[0], output)
        else:
            join_stores(shards, output)
        write_json(output.with_name(f"{output.stem}.import.json"), report)
        shutil.rmtree(folder)
        return
    Corpus([folder]).close()  # what only shows between shards: widths, evidence, an image twice
    write_json(folder / "import.json", report)
    remove(folder / _CAPTIONS)
    settle_folder(folder, output)
    # Only now, for what is killed before can still be gone on from.
    for number, shard in enumerate(shards):
        (output / shard.name).rename(output / f"shard_{number:05d}.h5")
    for file in [*output.glob("rank_*.json"), output / "job.json"]:
        file.unlink()
