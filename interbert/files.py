"""Writing so that a file or folder is either whole or not there."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by one with this text, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # several processes may do it at once
    with open(partial, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(strict(value), indent=2, allow_nan=False) + "\n")


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


def settle_folder(partial: Path, final: Path) -> None:
    """Forces every file of `partial` to disk, then gives it its final name; an older folder there goes last."""
    for path in sorted(partial.rglob("*")):
        _fsync(path)
    _fsync(partial)
    older = final.with_name(f".{final.name}.older")
    shutil.rmtree(older, ignore_errors=True)
    if final.exists():
        os.rename(final, older)
    os.rename(partial, final)
    _fsync(final.parent)
    shutil.rmtree(older, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
