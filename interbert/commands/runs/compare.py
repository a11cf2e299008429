"""Two runs beside each other: settings that differ, figures, curves."""

from pathlib import Path
from typing import Any

import yaml

from interbert.commands.output import output_path
from interbert.commands.runs.read import figure_of, logged
from interbert.recipe import flatten


def compare(folders: list[Path]) -> str:
    """What the two were told otherwise, and what came of it."""
    settings = [flatten(_settings(folder)) for folder in folders]
    names = sorted({name for each in settings for name in each})
    rows = [("", *map(str, folders))]
    rows += [
        (name, *cells)
        for name in names
        if len(set(cells := [str(each.get(name, "")) for each in settings])) > 1
    ]
    if len(rows) == 1:
        rows.append(("no setting differs", "", ""))
    rows += [("", "", ""), *_figures(folders)]
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(2)]
    return "\n".join(f"{a:<{widths[0]}}{b:<{widths[1]}}{c}".rstrip() for a, b, c in rows)


def _figures(folders: list[Path]) -> list[tuple[str, ...]]:
    ends = [_last_values(folder) for folder in folders]
    names = sorted(set(ends[0]) | set(ends[1]), key=lambda name: (name.startswith("validation"), name))
    rows = [(name, *(f"{end[name]:.4g}" if name in end else "" for end in ends)) for name in names]
    judged = [figure_of(folder) for folder in folders]
    return [*rows, ("judged", *judged)] if any(judged) else rows


def _last_values(folder: Path) -> dict[str, float]:
    told: dict[str, float] = {}
    for line in logged(folder):
        told |= {name: value for name, value in line.items() if value is not None}
    wanted = ("loss", "validation", "samples_per_second")
    return {name: value for name, value in told.items() if name == "step" or name.startswith(wanted)}


def draw(folders: list[Path], picture: Path, overwrite: bool) -> str:
    from interbert.show.drawing import curves, grid

    place = output_path(picture, overwrite, name="--picture")
    lines = [logged(folder) for folder in folders]
    names = sorted({name for each in lines for line in each for name in line if "loss" in name})
    if not names:
        raise ValueError(f"{folders[0]} and {folders[1]} have logged no loss yet: there is nothing to draw")
    pictures = []
    for name in names:
        of_each = [[line for line in each if name in line] for each in lines]
        series = [
            (folder.name, [line["step"] for line in own], [_number(line[name]) for line in own])
            for folder, own in zip(folders, of_each, strict=True)
        ]
        pictures.append(curves(series, name))
    grid(pictures, 2).save(place)
    return f"curves     {place}"


def _number(value: float | None) -> float:
    """JSON has null for what was no number."""
    return float("nan") if value is None else value


def _settings(folder: Path) -> dict[str, Any]:
    if not (folder / "config.yaml").is_file():
        raise ValueError(
            f"{folder}: ended before its settings were written; `interbert runs show {folder}` says why"
        )
    return yaml.safe_load((folder / "config.yaml").read_text())
