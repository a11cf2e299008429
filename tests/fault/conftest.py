"""Real processes, started as people start them; and disks that fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import runs

__all__ = ["runs"]


@contextmanager
def disk_of(megabytes: int, folder: Path) -> Iterator[Path | None]:
    """A disk of this size; None where it cannot be mounted."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def tiny_disk(tmp_path):
    with disk_of(3, tmp_path) as disk:
        if disk is None:
            pytest.skip("only root can mount a small disk")
        yield disk


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    with disk_of(40, tmp_path_factory.mktemp("disk")) as disk:
        yield disk
