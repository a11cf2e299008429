"""What the commands about runs read of their folders."""

from pathlib import Path
from typing import Any

from interbert.files import read_json, read_json_lines
from interbert.tasks.results.metrics import RESULTS, metric_of

RUNS = Path("runs")


def found(given: Path) -> Path:
    """A run by its folder, or by its name in runs/."""
    for folder in (given, RUNS / given):
        if any((folder / name).is_file() for name in ("config.yaml", "status.json")):
            return folder
    raise ValueError(
        f"{given}: no run is there, nor in {RUNS / given}; `interbert runs list DIR` lists those of DIR"
    )


def figure_of(folder: Path) -> str:
    """Of a run that is judged by retrieval its recall; of another the figure that it was judged by."""
    if (folder / "evaluation.json").is_file():
        figures = read_json(folder / "evaluation.json")
        last = figures.get("after") or figures
        return f"R@1 {100 * last['text_to_image']['r1']:.1f} %"
    if not (folder / RESULTS).is_file():
        return ""
    results = read_json(folder / RESULTS)
    metric = metric_of(results["kind"], results["metric"])
    return f"{metric.title} {metric.told(results['value'])}"


def logged(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    return read_json_lines(path) if path.is_file() else []
