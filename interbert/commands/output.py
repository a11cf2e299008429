"""Where a command writes: never over what is there without being told to, and never over what it reads."""

import argparse
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

_STORES = (".h5", ".hdf5")


@dataclass(frozen=True)
class FolderKind:
    """What a folder of a kind holds: only such folders are ever replaced."""

    name: str
    files: tuple[str, ...]
    """Patterns of their names."""
    folders: tuple[str, ...] = ()
    """Of those that may be lost with it."""

    def foreign(self, folder: Path) -> list[str]:
        """Names in the folder that nothing of this kind has."""
        found = []
        for path in sorted(folder.iterdir()):
            known = self.folders if path.is_dir() else self.files
            if path.is_symlink() or not any(fnmatch(path.name, pattern) for pattern in known):
                found.append(path.name)
        return found


TOKENIZER = FolderKind(
    "tokenizer",
    ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
MODEL = FolderKind(
    "model",
    (
        *TOKENIZER.files,
        *("config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json"),
        "SHA256SUMS",
        "README.md",
        "tuned_on.json",
    ),
)
JUDGED = FolderKind("results", ("results.json", "predictions.jsonl", "results.html"))
SHARDS = FolderKind(
    "shards",
    ("shard_*.h5", "import.json", "job.json", "rank_*.json"),  # the last two of a work killed at its very end
    (".interbert-cache",),
)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the output")


def output_path(
    given: Path,
    overwrite: bool,
    inputs: Iterable[Path] = (),
    *,
    name: str = "--output",
    folder: FolderKind | None = None,
) -> Path:
    """The path with `~` expanded, or ValueError where something would be lost.

    folder: of what kind the folder is that is to be written; none: a file is.
    """
    path = given.expanduser()
    if os.path.lexists(path) and not overwrite:
        raise ValueError(f"{path} is there already: remove it, name another {name}, or give --overwrite")
    if path.exists() and path.is_dir() != (folder is not None):
        kind, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
        raise ValueError(f"{path} is a {kind}, {name} is to be a {wanted}: name another one")
    for source in inputs:
        if _would_harm(path, source):
            raise ValueError(f"{name} {path} is, or holds, what is read from {source}: name another {name}")
        if path.suffix in _STORES and _holds_stores(source, path.parent):
            raise ValueError(
                f"{name} {path} would become one of the stores of {source}: name one outside of that folder"
            )
    if folder and path.exists():
        _refuse_foreign(path, folder, name)
    _refuse_unwritable(path, name)
    return path


def _refuse_foreign(path: Path, kind: FolderKind, name: str) -> None:
    foreign = kind.foreign(path)
    if foreign:
        told = ", ".join(foreign[:4]) + (f" and {len(foreign) - 4} more" if len(foreign) > 4 else "")
        raise ValueError(
            f"{path} holds {told}, and a folder of {kind.name} files does not: it is not replaced; name another "
            f"{name}, or move those away"
        )


def _refuse_unwritable(path: Path, name: str) -> None:
    """Said before the work, which may take hours, and not by its last step."""
    folder = path.absolute().parent
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{name} {path}: {folder} is not a folder; name another {name}")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        mode = stat.filemode(folder.stat().st_mode)
        raise ValueError(f"{name} {path}: {folder} may not be written to ({mode}); name another {name}")


def _would_harm(path: Path, source: Path) -> bool:
    """Whether writing to the path would take a file of the source away."""
    if not path.exists() or not source.exists():
        return False
    if path.samefile(source):
        return True
    if path.is_dir():
        return source.resolve().is_relative_to(path.resolve())
    files = (os.path.join(root, name) for root, _, names in os.walk(source) for name in names)
    return any(os.path.exists(file) and path.samefile(file) for file in files)


def _holds_stores(source: Path, folder: Path) -> bool:
    if not (source.is_dir() and folder.is_dir() and folder.samefile(source)):
        return False
    return any(path.suffix in _STORES for path in source.iterdir())
