"""Writing so that a file or folder is either whole or not there."""

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

SUMS = "SHA256SUMS"


@contextlib.contextmanager
def replaced(path: Path, forced: bool = True) -> Generator[Path]:
    """An empty file to write to; then it is forced to disk and takes the place of `path`, in one step.

    The folder of `path` is made where it is missing.

    What is worth nothing after a crash need not be forced.

    After a failure nothing is left of it.

    Several processes may do it at once, on several hosts. The name cannot be foreseen, and the file is made here or
    not at all, so that nobody's link of that name is written through.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666))
    try:
        yield partial
        if forced:
            fsync(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by one with this text, in one step."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def partial_folder(path: Path) -> Path:
    """Where what shall be at `path` is gathered until it is whole, by one who writes there alone."""
    partial = path.with_name(f".{path.name}.partial")
    if partial.is_symlink():
        raise ValueError(f"{partial} is a link, and unfinished work is kept under that name: remove it")
    return partial


def new_folder(path: Path) -> Path:
    """An empty folder, in place of whatever was there; of a link only the link goes."""
    remove(path)
    path.mkdir(parents=True)
    return path


def remove(path: Path) -> None:
    """A file, a folder with all in it, or a link (not what it leads to); nothing may be there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    write_text(path, _json(value))


def _json(value: Any) -> str:
    return json.dumps(strict(value), indent=2, allow_nan=False) + "\n"


def replace_json(path: Path, value: Any) -> None:
    """As write_json; on a full disk the file that is there is written over, for that takes no room."""
    try:
        write_json(path, value)
    except OSError as error:
        if error.errno != errno.ENOSPC or not path.exists():
            raise
        with open(path, "r+") as file:
            file.write(_json(value))
            file.truncate()


def strict(value: Any) -> Any:
    """The same with null for what JSON has no number for: NaN and infinity."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}); restore it, or remove it"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text ({error.reason}); restore it, or remove it") from None


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file that has one a line; without lines that a killed writer or a full disk left torn."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """A list of the folder's files that `sha256sum -c` reads too."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    write_text(folder / SUMS, "".join(f"{digest(folder / name)}  {name}\n" for name in names))


def check_sums(folder: Path) -> None:
    """Each file against the folder's list, if it has one."""
    if not (folder / SUMS).is_file():
        return
    for number, line in enumerate((folder / SUMS).read_text(errors="replace").splitlines(), 1):
        expected, _, name = line.partition("  ")
        path = folder / name
        if not name or path.parent != folder:
            raise ValueError(
                f"{folder / SUMS}, line {number}: not a sum and a name; restore it, or remove it"
            )
        found = digest(path) if path.is_file() else "missing"
        if found != expected:
            raise ValueError(
                f"{path}: its sha256 is {found}, {SUMS} says {expected}; restore it, or remove {SUMS} if you "
                "changed it"
            )


def settle_folder(partial: Path, final: Path) -> None:
    """Forces every file of `partial` to disk, then gives it its final name; an older folder there goes last."""
    for path in sorted(partial.rglob("*")):
        fsync(path)
    fsync(partial)
    older = final.with_name(f".{final.name}.older")
    remove(older)
    if final.exists():
        os.rename(final, older)
    os.rename(partial, final)
    fsync(final.parent)
    remove(older)


def fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
