"""Archives fetched by their registries' own clients, or taken from a folder of copies; checked, and kept.

An archive that is there and whole is not fetched again: what was cut short goes on with the one that it was cut in.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real_pairs.archives import Archive

PATIENCE = 900
"""Seconds for one archive."""
_COMMANDS = {
    "npm": ("npm", "pack", "--silent"),
    "pip": (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
    "apt-get": ("apt-get", "download", "-qq"),
}
_SHOWN = 300


class FetchError(ValueError):
    """An archive that is not to be had, or is not what it should be."""


def told(archives: Sequence[Archive], folder: Path) -> list[str]:
    """What each is, how big, under what licence, and whether it is there already."""
    width = max(len(one.package) for one in archives)
    return [
        f"  {one.package:{width}}  {one.size / 1e6:6.1f} MB  {one.what}; {one.licence}"
        + ("; is here" if (folder / one.file).is_file() else "")
        for one in archives
    ]


def fetch_all(archives: Sequence[Archive], folder: Path, copies: Path | None) -> dict[str, Path]:
    """Files by package. FetchError names all that are missing, when all others are there."""
    found, faults = {}, []
    for archive in archives:
        try:
            found[archive.package] = fetch(archive, folder, copies)
        except FetchError as error:
            faults.append(str(error))
    if faults:
        raise FetchError("\n".join(faults))
    return found


def fetch(archive: Archive, folder: Path, copies: Path | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / archive.file
    if target.is_file() and not fault_of(target, archive):
        return target
    target.unlink(missing_ok=True)
    if copies and (copies / archive.file).is_file():
        return _kept(copies / archive.file, archive, target)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        _ask(archive, Path(temporary))
        return _kept(Path(temporary) / archive.file, archive, target)


def fault_of(path: Path, archive: Archive) -> str | None:
    """What is wrong with a file that should be the archive."""
    size = path.stat().st_size
    if size < archive.size:
        return f"cut short: {size:,} of {archive.size:,} bytes"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == archive.sha256 else f"another file: its sha256 is {digest}"


def _kept(path: Path, archive: Archive, target: Path) -> Path:
    fault = fault_of(path, archive)
    if fault:
        raise FetchError(f"{archive.package}: {path} is {fault}; {_remedy(archive)}")
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(path, partial)
    partial.rename(target)
    return target


def _ask(archive: Archive, folder: Path) -> None:
    """By the client, into the folder."""
    command = [*_COMMANDS[archive.client], archive.package]
    print(f"fetching {archive.package} ({archive.size / 1e6:.0f} MB)", flush=True)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
        said = " ".join((done.stderr.strip() or done.stdout).split())[-_SHOWN:]
        reason = f"{archive.client} says: {said}" if done.returncode else None
    except FileNotFoundError:
        reason = f"there is no {archive.client} here"
    except subprocess.TimeoutExpired:
        reason = f"{archive.client} did not end within {PATIENCE} s"
    if reason is None and not (folder / archive.file).is_file():
        reason = f"{archive.client} brought {', '.join(path.name for path in folder.iterdir()) or 'nothing'}"
    if reason:
        raise FetchError(f"{archive.package} was not to be had ({reason}); {_remedy(archive)}")


def _remedy(archive: Archive) -> str:
    return (
        f"start again when its registry is reached, or put {archive.file} (sha256 {archive.sha256}) "
        "into a folder and name that: make real COPIES=DIR"
    )
