"""Stage 5: shards: a tar with each image's file as it was found, its text, and where all of it comes from."""

import io
import json
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import xxhash

from interbert.curate.engine.notes import Notes
from interbert.curate.reading.records import Source
from interbert.curate.reading.urls import host
from interbert.curate.stages.plan import Plan
from interbert.curate.stages.settle import SHARD
from interbert.files import replaced

_ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp",
            b"II*\0": "tif", b"MM\0*": "tif"}  # fmt: skip
_SOURCES_OPEN = 16


class Files:
    """The bytes of images, from wherever they lie."""

    def __init__(self, plan: Plan, most_open: int = _SOURCES_OPEN) -> None:
        self._plan, self._most_open = plan, most_open
        self._open: dict[int, Source] = {}

    def data(self, unit: int, place: int, size: int) -> bytes:
        if unit not in self._open:
            if len(self._open) >= self._most_open:
                self._open.clear()
            self._open[unit] = self._plan.source(unit)
        return self._open[unit].image(place, size)

    def of(self, row: dict[str, Any]) -> bytes:
        """Of an image of the collection, which is known by its hash; ValueError where it is not what lies there."""
        why = ""
        try:
            data = self.data(row["unit"], row["place"], row["bytes"])
        except Exception as error:  # whatever a changed file makes a library say
            data, why = b"", f" ({' '.join(str(error).split())[:200]})"
        if xxhash.xxh3_128_hexdigest(data) != row["xxh3"]:
            raise ValueError(
                f"{self._plan.units[row['unit']].path}: at {row['place']} is not {row['image']}, which was read "
                f"there{why}; the file has changed, or several records lie in one of its compressed members: write "
                "it anew, as by `fastwarc recompress`, and begin with --overwrite"
            )
        return data


class Spooled:
    """The bytes of a shard's images, in any order: read as they lie, and kept in a file without a name.

    So a packed archive is gone through once, and a group of a table read once. In memory are one image and what its
    source holds.
    """

    def __init__(self, plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
        self._file = tempfile.TemporaryFile(dir=plan.work)  # noqa: SIM115 -- open as long as this is
        self._place_of: dict[tuple[int, int], int] = {}
        files = Files(plan, most_open=1)
        for row in sorted(rows, key=_where):
            self._place_of[_where(row)] = self._file.tell()
            self._file.write(files.of(row))

    def of(self, row: dict[str, Any]) -> bytes:
        self._file.seek(self._place_of[_where(row)])
        return self._file.read(row["bytes"])

    def __enter__(self) -> "Spooled":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def _where(row: dict[str, Any]) -> tuple[int, int]:
    return row["unit"], row["place"]


def shard_path(output: Path, number: int) -> Path:
    return output / f"{number - 1:05d}.tar"


def write_shard(plan: Plan, number: int, notes: Notes) -> None:
    """number: from 1."""
    part, path = plan.part("write", number), shard_path(plan.output, number)
    rows = list(chosen_rows(plan, number))
    counts: Counter[str] = Counter()
    with (
        Spooled(plan, rows) as files,
        replaced(path) as partial,
        tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for row in rows:
            data = files.of(row)
            _add(tar, f"{row['id']}.{_ending(data)}", data)
            _add(tar, f"{row['id']}.txt", (row["texts"][0]["text"] + "\n").encode())
            _add(tar, f"{row['id']}.json", _provenance(row))
            _count(row, counts)
    part.folder.mkdir(parents=True, exist_ok=True)
    part.finish(
        {"counts": dict(sorted(counts.items())), "examples": [_told(row) for row in rows[:20]]}, [path]
    )


def chosen_rows(plan: Plan, number: int) -> Iterable[dict[str, Any]]:
    if plan.settings.judged:
        return plan.part("choose", number).lines(SHARD)
    return plan.part("settle", number).lines(SHARD)


def _ending(data: bytes) -> str:
    return next((ending for start, ending in _ENDINGS.items() if data.startswith(start)), "jpg")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Without owner and time, so that the same content is the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))


def _provenance(row: dict[str, Any]) -> bytes:
    best, others = row["texts"][0], row["texts"][1:]
    told = {
        "caption": best["text"],
        "source": best["source"],
        "page": best["page"],
        "url": row["image"],
        "elements": row["elements"],
        "licence": row["licence"],
        "width": row["width"],
        "height": row["height"],
        "phash": row["phash"],
        "xxh3": row["xxh3"],
        "pages": row["pages"],
        "scores": row.get("scores", {}),
        "others": [[one["source"], one["text"], one["page"]] for one in others],
    }
    return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _count(row: dict[str, Any], counts: Counter[str]) -> None:
    best = row["texts"][0]
    counts["pairs"] += 1
    counts["bytes"] += row["bytes"]
    counts[f"source {best['source']}"] += 1
    counts[f"domain {host(best['page']) or 'files'}"] += 1
    counts["licensed"] += bool(row["licence"])
    counts[f"words {min(len(best['text'].split()), 40)}"] += 1
    if "fit" in row.get("scores", {}):
        counts[f"fit {min(int(10 * row['scores']['fit']), 9) * 10}"] += 1
    counts[f"side {min(row['width'], row['height']) // 100 * 100}"] += 1


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("image", "page", "unit", "place", "bytes")} | {
        "text": row["texts"][0]["text"],
        "source": row["texts"][0]["source"],
        "why": "",
    }
