"""Where a command writes: never over what is there without being told to, and never over what it reads."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

_STORES = (".h5", ".hdf5")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the output")


def output_path(
    given: Path,
    overwrite: bool,
    inputs: Iterable[Path] = (),
    *,
    name: str = "--output",
    folder: bool = False,
) -> Path:
    """The path with `~` expanded, or ValueError where something would be lost.

    folder: a folder is to be written, not a file.
    """
    path = given.expanduser()
    if os.path.lexists(path) and not overwrite:
        raise ValueError(f"{path} is there already: remove it, name another {name}, or give --overwrite")
    if path.exists() and path.is_dir() != folder:
        kind, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
        raise ValueError(f"{path} is a {kind}, {name} is to be a {wanted}: name another one")
    for source in inputs:
        if _would_harm(path, source):
            raise ValueError(f"{name} {path} is, or holds, what is read from {source}: name another {name}")
        if path.suffix in _STORES and _holds_stores(source, path.parent):
            raise ValueError(
                f"{name} {path} would become one of the stores of {source}: name one outside of that folder"
            )
    return path


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
