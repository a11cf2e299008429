"""Tables and JSON of a benchmark, with the machine, the date and the commit that they were measured on."""

import argparse
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def table(title: str, header: list[str], rows: list[list[Any]]) -> None:
    """Print an aligned table; numbers to the right."""
    cells = [header, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        padded = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(padded).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def parser(what: str | None) -> argparse.ArgumentParser:
    """Of a benchmark's flags, with the one that all of them have."""
    found = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--json", metavar="FILE", help="also write the figures here")
    return found


def write_json(path: str | Path | None, figures: dict[str, Any]) -> None:
    """Write the figures beside what they were measured on; nothing without a path."""
    if path is None:
        return
    Path(path).write_text(json.dumps({**circumstances(), **figures}, indent=2) + "\n")


def refuse_other_runs(folder: Path, asked: dict[str, Any]) -> None:
    """What lies there and is not done again must be of the same flags; one not given (None) may come later."""
    note = folder / "made_of.json"
    before = json.loads(note.read_text()) if note.exists() else {}
    for name, value in asked.items():
        there = before.get(name)
        if None not in (there, value) and there != value:
            raise SystemExit(
                f"{folder} has runs of --{name} {there}, not of {value}: give another --folder, or the same --{name}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(before | {name: value for name, value in asked.items() if value is not None}))


def circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    flags, model = "", platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = dict(
            line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
        )
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        model, flags = fields.get("model name", model), fields.get("flags", "")
    return model + (" with AMX" if "amx_bf16" in flags else "")


def _commit() -> str:
    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
        )
    except OSError:  # no git is here
        return "unknown"
    return run.stdout.strip() or "unknown"


def _cell(value: Any) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
