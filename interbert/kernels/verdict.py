"""What a trial of compiled kernels found, kept beside their library: with a new library a new trial is made."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from interbert.files import read_json, write_json

log = logging.getLogger(__name__)


def kept_verdict(library: Path, device: torch.device, check: Callable[[], str | None]) -> str | None:
    """What is wrong, as this or an earlier process found; None when nothing is."""
    file = library.with_suffix(".json")
    known = _read(file)
    if known is not None:
        return known["wrong"]
    try:
        failure = check()
    except RuntimeError as error:
        # No memory left, a driver too old: says nothing of the numbers, so is not kept.
        return str(error).splitlines()[0]
    try:
        write_json(file, {"wrong": failure, "device": _name(device)})
    except OSError as error:  # made again next time
        log.info("verdict on %s not kept: %s", library.name, error)
    return failure


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = read_json(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "wrong" in found else None


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "emulator"
