"""`python -m interbert summary RUN`: what a run came to, as a short table."""

import argparse
import math
from pathlib import Path

from interbert.files import read_json, read_json_lines
from interbert.printing import printable_lines

HELP = "losses, figures and throughput of a run, or the figures of a sweep, as a short table"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run, such as runs/scenes")


def run(arguments: argparse.Namespace) -> int:
    print(printable_lines(summarise(arguments.folder)))
    return 0


def summarise(folder: Path) -> str:
    from interbert.tasks.results.metrics import RESULTS
    from interbert.tasks.sweep.summary import SWEEP, sweep_table

    if (folder / SWEEP).is_file():
        return sweep_table(read_json(folder / SWEEP))
    status, metrics = folder / "status.json", folder / "metrics.jsonl"
    if not status.is_file():
        raise ValueError(f"{folder}: no {status.name} there; is it the folder of a run?")
    lines = read_json_lines(metrics) if metrics.is_file() else []
    state = read_json(status)
    rows = [f"{folder}: {state['state']} at step {state['step']} ({state['reason']})", ""]
    rows += _losses(lines) + _retrieval(folder / "evaluation.json")
    rows += _results(folder / RESULTS)
    rates = sorted(filter(math.isfinite, _values(lines, "samples_per_second")))
    if rates:
        rows.append(f"{'pairs/s':<28}{rates[len(rates) // 2]:.0f} (median of the logged steps)")
    places = {
        "TensorBoard": "tensorboard",
        "picture": "picture.png",
        "model": "export",
        "metrics": "metrics.jsonl",
        "predictions": "predictions.jsonl",
        "page of results": "results.html",
    }
    rows += [f"{name:<28}{folder / place}" for name, place in places.items() if (folder / place).exists()]
    return "\n".join(rows)


def _losses(lines: list[dict]) -> list[str]:
    names = {name for line in lines for name in line if "loss" in name}
    rows = []
    for name in sorted(names, key=lambda n: (n.startswith("validation"), n)):
        values = _values(lines, name)
        rows.append(f"{name:<28}{values[0]:.3f} -> {values[-1]:.3f}")
    return [*rows, ""] if rows else []


def _values(lines: list[dict], name: str) -> list[float]:
    """As logged; JSON has null for what was no number."""
    found = [line[name] for line in lines if name in line]
    return [math.nan if value is None else value for value in found]


def _retrieval(path: Path) -> list[str]:
    if not path.is_file():
        return []
    figures = read_json(path)
    ends = [figures[name] for name in ("before", "after") if name in figures]
    rows = []
    for way in ("text_to_image", "image_to_text"):
        for measure in ("r1", "r5", "r10"):
            label = f"{way.replace('_', ' ')} R@{measure[1:]}"
            rows.append(f"{label:<28}" + " -> ".join(f"{100 * end[way][measure]:.1f} %" for end in ends))
    return [*rows, ""]


def _results(path: Path) -> list[str]:
    """Of a run that was fine-tuned; the chosen figure first. Intervals hold 95 % of resamples."""
    if not path.is_file():
        return []
    from interbert.tasks.official.official import named_figures
    from interbert.tasks.results.metrics import METRICS

    found = read_json(path)
    figures = found["figures"]
    metrics = [metric for metric in METRICS[found["kind"]] if metric.name in figures]
    rows = [f"{'examples':<28}{found['examples']:,} of {found['data']['examples']}"]
    for metric in sorted(metrics, key=lambda metric: metric.name != found["metric"]):
        told = {name: metric.told(value) for name, value in figures[metric.name].items()}
        interval = f" ({told['low']} to {told['high']})" if "low" in told else ""
        rows.append(f"{metric.title:<28}{told['value']}{interval}")
    rows += [f"{name:<28}{figure}" for name, figure in named_figures(found.get("official"))]
    return [*rows, ""]
