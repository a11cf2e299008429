"""A line for each run of a folder."""

import time
from pathlib import Path

from interbert.commands.runs.read import figure_of, logged
from interbert.files import read_json

SILENT = 600
"""Seconds without a word after which it is said of a run that it is silent."""


def listed(root: Path) -> str:
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; runs are made in runs/, or where --output-dir said")
    folders = [path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/status.json")]
    if not folders:
        raise ValueError(f"{root}: no run is there; runs are made in runs/, or where --output-dir said")
    rows = [("run", "state", "step", "loss", "figure", "last word")]
    rows += [_row(root, folder) for folder in sorted(folders)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(root: Path, folder: Path) -> tuple[str, ...]:
    try:
        return _told(root, folder)
    except (ValueError, KeyError) as error:
        return str(folder.relative_to(root)), "unreadable", "", "", "", str(error)


def _told(root: Path, folder: Path) -> tuple[str, ...]:
    status = read_json(folder / "status.json")
    lines = logged(folder)
    words = (folder / "status.json", folder / "metrics.jsonl")
    spoke = max(path.stat().st_mtime for path in words if path.is_file())
    ago = max(time.time() - spoke, 0.0)
    state, step = status["state"], status["step"]
    if state == "running":
        step = max([step, *(line["step"] for line in lines)])
        state = "silent" if ago > SILENT else state
    losses = [line["loss"] for line in lines if line.get("loss") is not None]
    loss = f"{losses[-1]:.3f}" if losses else ""
    return str(folder.relative_to(root)), state, f"{step:,}", loss, figure_of(folder), f"{told_time(ago)} ago"


def told_time(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
