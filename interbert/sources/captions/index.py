"""Captions found by image, on disk: written once for an import, read by all of its ranks.

Memory is flat whatever their number. The folder holds `captions.sqlite` and `matches.json`, which is written last.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from interbert.files import write_json
from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.layout import Caption, Layout
from interbert.sources.captions.match import FileMatch, Matcher
from interbert.sources.record import ImportFault

BASE, MATCHES = "captions.sqlite", "matches.json"
CACHE_KIB = 16_384
_AT_ONCE = 1_000
_SPLITS_TOLD = 20
_TABLES = """
CREATE TABLE image (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE key (
    id INTEGER PRIMARY KEY, file INTEGER, name TEXT, other TEXT,
    image INTEGER, loose INTEGER, contested INTEGER DEFAULT 0,
    UNIQUE (file, name)
);
CREATE TABLE caption (key INTEGER, text TEXT);
"""
"""key: a file's name of an image. Captions are in the order of their reading."""


def build_index(folder: Path, wishes: CaptionFiles, image_ids: Iterable[str]) -> list[FileMatch]:
    """All captions of the files, each file's matched to the images by one rule.

    ImportFault: a file is bad, has no caption (of the splits), or matches no image.
    """
    layouts = wishes.layouts()
    path = folder / BASE
    path.unlink(missing_ok=True)
    with opened(path, writing=True) as base:
        base.executescript(_TABLES)
        base.execute("BEGIN")
        base.executemany("INSERT OR IGNORE INTO image (name) VALUES (?)", ((name,) for name in image_ids))
        captions = [_read(base, number, layout, wishes) for number, layout in enumerate(layouts)]
        matches = Matcher(base, wishes).match(layouts, captions)
        base.execute("CREATE INDEX of_key ON caption (key)")
        base.execute("COMMIT")
    write_json(folder / MATCHES, [asdict(match) for match in matches])
    return matches


@contextmanager
def opened(path: Path, writing: bool = False) -> Iterator[sqlite3.Connection]:
    """Without locks, which folders shared by hosts may lack: one process writes, and is done before others read."""
    uri = f"{path.absolute().as_uri()}?{'nolock=1' if writing else 'mode=ro&immutable=1'}"
    base = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        base.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if writing:
            base.execute("PRAGMA journal_mode = OFF")
            base.execute("PRAGMA synchronous = OFF")
            base.execute("PRAGMA temp_store = FILE")
        yield base
    except sqlite3.OperationalError as error:
        if "user-defined function" in str(error):  # a fault of ours
            raise
        raise OSError(f"{path}: {error} (its temporary files are in TMPDIR, or in /var/tmp)") from error
    finally:
        base.close()


def _read(base: sqlite3.Connection, file: int, layout: Layout, wishes: CaptionFiles) -> int:
    """The file's captions of the wanted splits into the tables; their number."""
    path, splits = wishes.files[file], Counter()
    count, rows, name, key = 0, [], None, 0
    for caption in layout.captions():
        if wishes.splits:
            splits[caption.split] += 1
            if caption.split not in wishes.splits:
                continue
        if caption.image != name:
            name, key = caption.image, _key(base, file, caption)
        rows.append((key, caption.text))
        count += 1
        if len(rows) == _AT_ONCE:
            base.executemany("INSERT INTO caption VALUES (?, ?)", rows)
            rows.clear()
    base.executemany("INSERT INTO caption VALUES (?, ?)", rows)
    _check_splits(path, wishes.splits, splits)
    if not count and not wishes.allow_unmatched:
        left = "".join(f"; left out were {number:,} {what}" for what, number in layout.left_out.items())
        raise ImportFault(
            f"{path} ({layout.title}): no caption{left}; leave the file out, or give --allow-unmatched"
        )
    return count


def _key(base: sqlite3.Connection, file: int, caption: Caption) -> int:
    found = base.execute(
        "INSERT INTO key (file, name, other) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET name = name RETURNING id",
        (file, caption.image, caption.other),
    ).fetchone()
    return found[0]


def _check_splits(path: Path, wanted: tuple[str, ...], found: Counter[str | None]) -> None:
    if not wanted:
        return
    if not set(found) - {None}:
        raise ImportFault(f"{path}: it does not say which split its captions are of; leave --split out")
    for split in wanted:
        if split not in found:
            told = ", ".join(sorted(map(str, found))[:_SPLITS_TOLD])
            raise ImportFault(f"{path}: no split {split!r}; it has {told}")
