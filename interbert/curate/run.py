"""A collection from its inputs to its shards: stage after stage, each going on where it was."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interbert.curate.engine.local import run_units
from interbert.curate.images.never import hashes_of, stamp
from interbert.curate.reading.units import units_of
from interbert.curate.report.report import PAGE, REPORT, write_report
from interbert.curate.settings import CurateSettings
from interbert.curate.stages.all import NEVER, STAGES, numbers_of, to_do, work
from interbert.curate.stages.named import stamps_of
from interbert.curate.stages.plan import PLAN, Plan
from interbert.curate.stages.write import chosen_rows
from interbert.files import read_json, remove, replaced, write_json
from interbert.printing import printable
from interbert.progress import Progress

CAPTIONS, TIMINGS = "captions.jsonl", "timings.json"


@dataclass(frozen=True)
class Wishes:
    inputs: list[Path]
    images: list[Path]
    never: list[Path]
    output: Path
    settings: CurateSettings
    workers: int = 1
    anew: bool = False
    """What an earlier start left in `output` goes, once it is known that this one can begin."""


def plan_of(wishes: Wishes) -> Plan:
    """Written down, with the hashes that must not come; or refused."""
    units = units_of(wishes.inputs, wishes.images, wishes.settings.reading, wishes.output)
    never = hashes_of(wishes.never) if wishes.never else np.empty(0, np.uint64)
    plan = Plan(wishes.output, units, wishes.settings, (stamp(never),) if wishes.never else (),
                stamps_of(wishes.settings))  # fmt: skip
    if wishes.anew:
        _begin_anew(wishes.output)
    plan.work.mkdir(parents=True, exist_ok=True)
    plan.settle()
    if wishes.never:
        with replaced(plan.work / NEVER) as partial, open(partial, "wb") as file:
            np.save(file, never, allow_pickle=False)
    return plan


def _begin_anew(output: Path) -> None:
    """Removes what an earlier start left there, and nothing else."""
    if (output / PLAN).is_file():
        for path in output.iterdir():
            if path.suffix == ".tar" or path.name in (PLAN, ".work", CAPTIONS, TIMINGS, REPORT, PAGE):
                remove(path)


def curate(wishes: Wishes) -> dict:
    """The report."""
    plan = plan_of(wishes)
    for stage in STAGES:
        run_stage(plan, stage, wishes.workers)
    return finish(plan)


def run_stage(
    plan: Plan, stage: str, workers: int, shown: bool = True, numbers: list[int] | None = None
) -> None:
    """numbers: of the units that this process is to do; None: all that are not done."""
    left = to_do(plan, stage) if numbers is None else numbers
    if not left:
        return
    began = time.perf_counter()
    with Progress(f"curate: {stage}", len(left), "units", shown) as progress:
        watch = run_units(
            work, plan.output, stage, left, workers, plan.settings.reading.seconds_of_a_page,
            lambda number: progress.advance(1),
        )  # fmt: skip
    for told in watch.told:
        print(printable(told), flush=True)
    if shown:
        _add_timing(plan, stage, len(left), time.perf_counter() - began, workers)


def finish(plan: Plan) -> dict:
    """What is told of the whole: captions for who has features of the images already, and the report."""
    shutil.rmtree(plan.work / "notes", ignore_errors=True)
    # What workers that were killed had begun to write: all is done, so nobody writes there now.
    for folder in (plan.output, plan.work, *(path for path in plan.work.rglob("*") if path.is_dir())):
        for path in folder.glob(".*.partial"):
            path.unlink()
    with replaced(plan.output / CAPTIONS) as partial, open(partial, "w", encoding="utf-8") as file:
        for number in numbers_of(plan, "write"):
            for row in chosen_rows(plan, number):
                best = row["texts"][0]
                line = {"image_id": row["id"], "caption": best["text"], "source": best["source"]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return write_report(plan)


def _add_timing(plan: Plan, stage: str, units: int, seconds: float, workers: int) -> None:
    path = plan.output / TIMINGS
    known = read_json(path) if path.exists() else []
    write_json(
        path, [*known, {"stage": stage, "units": units, "seconds": round(seconds, 3), "workers": workers}]
    )
