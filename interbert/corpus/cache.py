"""Where things computed once from a data set are kept: beside its first store, or in the user's cache."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interbert.files import replaced

FOLDER = ".interbert-cache"


def key(*parts: object) -> str:
    """A short name for everything that the cached thing was computed from."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def folders(corpus: Any) -> list[Path]:
    """Where to look, in order; the first that can be written to is written to. corpus: anything that has `paths`."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(corpus.paths[0]).absolute().parent / FOLDER, user / "interbert"]


def find(corpus: Any, name: str) -> list[Path]:
    return [path for folder in folders(corpus) if (path := folder / name).is_file()]


def keep(corpus: Any, name: str, write: Callable[[Path], None]) -> Path | None:
    """Let `write` make the file in the first folder that takes it; None if none does (a full disk, say)."""
    for folder in folders(corpus):
        try:
            with replaced(folder / name) as partial:
                write(partial)
            return folder / name
        except OSError:
            continue
    return None
