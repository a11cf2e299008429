"""What tells one state of a file from another."""

from pathlib import Path


def stamp_of(path: Path) -> str:
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"
