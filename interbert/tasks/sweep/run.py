"""The runs of a sweep, one after the other; what is finished is not run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from interbert.files import read_json, write_json
from interbert.ranks.distributed import Ranks
from interbert.ranks.ending import EXIT_CODES
from interbert.recipe import flatten
from interbert.tasks.sweep.plan import SEED, Variant
from interbert.tasks.sweep.summary import (
    SWEEP,
    Trained,
    reason_of,
    state_of,
    summarise_sweep,
    sweep_table,
)
from interbert.train.folder.run_folder import FolderInUse, RunFolder


def run_sweep(
    folder: Path,
    plan: list[Variant],
    base: dict[str, Any],
    run: Callable[[Variant], int],
    ranks: Ranks,
    trained: Trained,
) -> int:
    """Runs what is not finished, on all ranks together; -> exit code, 0 when all are finished.

    base: the recipe's settings as they are in JSON: another recipe in the same folder is refused. run: -> exit code.
    Of runs that failed before, another attempt is made last, for it may end this start too.
    """
    ranks.main_only(lambda: _begin(folder, plan, base, trained))
    left = ranks.main_only(lambda: _unfinished(plan, trained))
    for number, place in enumerate(left, 1):
        variant = plan[place]
        if ranks.is_main:
            print(f"sweep: {variant.folder.name} ({number} of {len(left)} that are left)", flush=True)
        code = _run_one(variant, run, ranks, trained)
        if code == EXIT_CODES["preempted"]:
            return code
        if code == EXIT_CODES["finished"]:
            continue
        # A rank that failed alone is missed by the others: they end by their watchdogs, and so does this wait.
        if set(ranks.gather(code)) != {code}:
            return code
        if ranks.is_main:
            print(f"sweep: {variant.folder.name} failed: {reason_of(variant)}", flush=True)
    summary = ranks.main_only(lambda: _finish(folder, plan, base, trained))
    if ranks.is_main:
        print(sweep_table(summary), flush=True)
    states = {each["state"] for point in summary["points"] for each in point["runs"]}
    return EXIT_CODES["finished" if states == {"finished"} else "failed"]


def _begin(folder: Path, plan: list[Variant], base: dict[str, Any], trained: Trained) -> None:
    """Notes the recipe, or refuses another one than that of the runs that are there."""
    flat, path = flatten(base), folder / SWEEP
    swept = {SEED, *(key for variant in plan for key in variant.values)}
    if path.is_file():
        known = read_json(path)
        before = flatten(known["base"])
        swept |= {key for point in known["points"] for key in point["values"]}
        for key in sorted(flat.keys() | before.keys()):
            if key not in swept and flat.get(key) != before.get(key):
                raise ValueError(
                    f"{folder}: {key} is {flat.get(key)!r}, and was {before.get(key)!r} in the sweep that is there: "
                    "name another --output-dir"
                )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {"base": base, **summarise_sweep(plan, trained)})


def _unfinished(plan: list[Variant], trained: Trained) -> list[int]:
    """Places in the plan."""
    states = [state_of(variant, trained) for variant in plan]
    left = [place for place, state in enumerate(states) if state != "finished"]
    return sorted(left, key=lambda place: (states[place] == "failed", place))


def _run_one(variant: Variant, run: Callable[[Variant], int], ranks: Ranks, trained: Trained) -> int:
    """What a person can mend ends this run, not the sweep."""
    try:
        return run(variant)
    except FolderInUse as error:
        if ranks.is_main:
            print(f"sweep: {error}", flush=True)
        return EXIT_CODES["failed"]
    except (ValueError, OSError) as error:
        if ranks.is_main and state_of(variant, trained) != "failed":
            folder = RunFolder(variant.folder)
            folder.make()
            folder.write_status("failed", folder.last_step(), f"{type(error).__name__}: {error}")
        return EXIT_CODES["failed"]


def _finish(folder: Path, plan: list[Variant], base: dict[str, Any], trained: Trained) -> dict[str, Any]:
    summary = summarise_sweep(plan, trained)
    write_json(folder / SWEEP, {"base": base, **summary})
    return summary
