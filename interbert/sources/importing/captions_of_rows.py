"""The captions for the rows of a source: which ids it has is asked first, by all ranks, then rank 0 matches."""

import json
from collections.abc import Iterator
from pathlib import Path

from interbert.mpi import World
from interbert.printing import printable_lines
from interbert.progress import Progress
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.index import MATCHES, build_index
from interbert.sources.captions.matched import MatchedCaptions
from interbert.sources.record import Source


def matched_captions(
    source: Source, rows: range, wishes: CaptionFiles, folder: Path, world: World
) -> MatchedCaptions | None:
    """On every rank; None where there are no files. An earlier start's index in the folder is used again."""
    if not wishes.files:
        return None
    if not (folder / MATCHES).is_file():
        folder.mkdir(exist_ok=True)
        _write_ids(source, rows, folder / f"ids_{world.rank:04d}.txt", world)
        world.barrier()
        if world.rank == 0:
            build_index(folder, wishes, _ids(folder))
    world.barrier()
    captions = MatchedCaptions(folder)
    if world.rank == 0:
        for match in captions.matches:
            print(printable_lines("\n".join(match.lines())), flush=True)
    return captions


def _write_ids(source: Source, rows: range, path: Path, world: World) -> None:
    """A line each; rows that cannot be read have none, and are told when they are to be imported."""
    with (
        open(path, "w", encoding="utf-8") as file,
        Progress("ids", len(rows), "rows", shown=world.rank == 0) as progress,
    ):
        for number in rows:
            progress.advance(1)
            try:
                name = source.name(number)
                name = source.read(number).image_id if name is None else name
            except ValueError:
                continue
            file.write(json.dumps(name) + "\n")


def _ids(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("ids_*.txt")):
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)
