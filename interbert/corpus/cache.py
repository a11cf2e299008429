"""Where things computed once from a data set are kept: beside its first store, or in the user's cache."""

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from interbert.files import replaced
from interbert.printing import printable

log = logging.getLogger(__name__)

FOLDER = ".interbert-cache"


def key(*parts: object) -> str:
    """A short name for everything that the cached thing was computed from."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def folders(corpus: Any) -> list[Path]:
    """Where to look, in order; the first that can be written to is written to. corpus: anything that has `paths`."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [Path(corpus.paths[0]).absolute().parent / FOLDER, user / "interbert"]


def find(corpus: Any, name: str) -> list[Path]:
    """Files of that name, but no one else's: what is read from them is not computed again, so it must be believed.
    Who owns the data may own what was computed from it."""
    return [
        path for folder in folders(corpus) if (path := folder / name).is_file() and _is_trusted(path, corpus)
    ]


def _is_trusted(path: Path, corpus: Any) -> bool:
    try:
        owner, mode = path.stat().st_uid, path.stat().st_mode
        trusted = {0, os.geteuid(), os.stat(corpus.paths[0]).st_uid}
    except OSError:
        return False
    if owner in trusted and not mode & stat.S_IWOTH:
        return True
    whose = "anybody may write to it" if owner in trusted else f"it belongs to user {owner}"
    log.warning(
        "%s: %s, so it is not used, and what it should hold is computed again; remove it, or let it be yours alone "
        "(chown, chmod o-w)",
        printable(path),
        whose,
    )
    return False


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


@contextlib.contextmanager
def alone(corpus: Any, name: str) -> Iterator[None]:
    """Wait while another process of this host makes the same thing: it is then there to be read. Where files cannot
    be locked all of them make it."""
    with contextlib.ExitStack() as stack:
        for folder in folders(corpus):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(folder / f"{name}.lock", flags, 0o644)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                break
            except OSError:
                continue
        yield
