"""What tells a directory from what it was when it was last read."""

from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]


def stamp_of(folder: Path) -> Stamp:
    """Name, size and time of its files; nothing of one that is not there."""
    if not folder.is_dir():
        return ()
    told = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in told)
