"""What the runs of a sweep came to: of each point mean and deviation over seeds, and which one is best."""

import statistics
from collections.abc import Callable
from typing import Any

from interbert.files import read_json
from interbert.tasks.results.metrics import RESULTS, Metric, metric_of
from interbert.tasks.sweep.plan import Variant
from interbert.train.folder.run_folder import RunFolder

SWEEP = "sweep.json"
Trained = Callable[[Variant], bool]
"""Whether a run that says it is finished was trained as far as is asked for now."""


def summarise_sweep(plan: list[Variant], trained: Trained) -> dict[str, Any]:
    """Mean and deviation over the seeds of each point, and which point is best, from what the runs left."""
    points = []
    for name in dict.fromkeys(variant.point for variant in plan):
        own = [variant for variant in plan if variant.point == name]
        runs = [_outcome(variant, trained) for variant in own]
        values = [each["value"] for each in runs if each["value"] is not None]
        points.append(
            {
                "name": name,
                "values": own[0].values,
                "mean": statistics.fmean(values) if values else None,
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "runs": runs,
            }
        )
    judged = [_results(variant) for variant in plan if state_of(variant, trained) == "finished"]
    told: dict[str, Any] = {"kind": None, "metric": None, "points": points, "best": None, "best_run": None}
    if judged:
        metric = metric_of(judged[0]["kind"], judged[0]["metric"])
        told |= {"kind": judged[0]["kind"], "metric": metric.name}
        sign = 1 if metric.larger_is_better else -1
        told["best"] = _best([(point["name"], point["mean"]) for point in points], sign)
        runs = [run for point in points if point["name"] == told["best"] for run in point["runs"]]
        told["best_run"] = _best([(run["folder"], run["value"]) for run in runs], sign)
    return told


def sweep_table(summary: dict[str, Any]) -> str:
    """For people: a line for each point."""
    metric = metric_of(summary["kind"], summary["metric"]) if summary["metric"] else None
    names = [point["name"] or "as it is" for point in summary["points"]]
    width = max(map(len, names)) + 2
    title = f"{'':<{width}}{metric.title}, mean ± deviation over seeds" if metric else "no run is finished"
    rows = [title]
    for name, point in zip(names, summary["points"], strict=True):
        finished = sum(run["state"] == "finished" for run in point["runs"])
        mark = "   best" if summary["best"] == point["name"] else ""
        rows.append(f"{name:<{width}}{_told(metric, point):<18}{finished} of {len(point['runs'])} runs{mark}")
    return "\n".join(rows)


def _told(metric: Metric | None, point: dict[str, Any]) -> str:
    if metric is None or point["mean"] is None:
        return "-"
    mean, deviation = (metric.told(point[name]).removesuffix(" %") for name in ("mean", "deviation"))
    spread = "" if point["deviation"] is None else f" ± {deviation}"
    return f"{mean}{spread}{' %' if metric.share else ''}"


def state_of(variant: Variant, trained: Trained) -> str:
    """`finished` where nothing is left to do."""
    status = RunFolder(variant.folder).read_status()
    if status is None:
        return "not begun"
    if status["state"] != "finished":
        return status["state"]
    if not (variant.folder / RESULTS).is_file():
        return "without results"
    return "finished" if trained(variant) else "cut short"


def reason_of(variant: Variant) -> str:
    status = RunFolder(variant.folder).read_status()
    return status["reason"] if status else ""


def _outcome(variant: Variant, trained: Trained) -> dict[str, Any]:
    state = state_of(variant, trained)
    done = state == "finished"
    return {
        "folder": variant.folder.name,
        "seed": variant.seed,
        "state": state,
        "reason": "" if done else reason_of(variant),
        "value": _results(variant)["value"] if done else None,
    }


def _results(variant: Variant) -> dict[str, Any]:
    return read_json(variant.folder / RESULTS)


def _best(named: list[tuple[str, float | None]], sign: int) -> str | None:
    """The first of those with the best value."""
    known = [(name, sign * value) for name, value in named if value is not None]
    return max(known, key=lambda pair: pair[1])[0] if known else None
