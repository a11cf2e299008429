"""The stages in their order: what each does for one unit, and how many units it has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from interbert.curate.engine.notes import Notes
from interbert.curate.engine.parts import Part, whole
from interbert.curate.images.index import write_index
from interbert.curate.stages.judge import judge_unit
from interbert.curate.stages.plan import Plan, load_plan
from interbert.curate.stages.read import FACTS, read_unit
from interbert.curate.stages.settle import settle
from interbert.curate.stages.write import write_shard

NEVER = "never.npy"


def _index(plan: Plan, number: int, notes: Notes) -> None:
    tables = [plan.part("read", unit).array(FACTS) for unit in range(len(plan.units))]
    addresses = write_index(plan.work, tables)
    part = plan.part("index", 0)
    part.folder.mkdir(parents=True, exist_ok=True)
    part.finish({"counts": {"addresses": addresses}}, [])


def _settle(plan: Plan, number: int, notes: Notes) -> None:
    plan.part("settle", 0).folder.mkdir(parents=True, exist_ok=True)
    never = plan.work / NEVER
    settle(plan, np.load(never) if never.exists() else np.empty(0, np.uint64))


def _score(plan: Plan, number: int, notes: Notes) -> None:
    from interbert.curate.stages.score import score_shard  # which needs no model until there is one

    score_shard(plan, number, notes)


def _choose(plan: Plan, number: int, notes: Notes) -> None:
    from interbert.curate.stages.score import choose

    plan.part("choose", 0).folder.mkdir(parents=True, exist_ok=True)
    choose(plan)


STAGES: dict[str, Callable[[Plan, int, Notes], None]] = {
    "read": read_unit,
    "index": _index,
    "judge": judge_unit,
    "settle": _settle,
    "score": _score,
    "choose": _choose,
    "write": write_shard,
}


def work(output: Path, stage: str, number: int, notes: Notes) -> None:
    STAGES[stage](load_plan(output), number, notes)


def numbers_of(plan: Plan, stage: str) -> list[int]:
    """Units of a stage; those of the last ones are known when the images have been dealt out."""
    if stage == "read":
        return list(range(len(plan.units)))
    if stage == "judge":
        return plan.page_units
    if stage in ("score", "choose") and not plan.settings.judged:
        return []
    if stage in ("index", "settle", "choose"):
        return [0]
    dealt = plan.part("choose" if stage == "write" and plan.settings.judged else "settle", 0)
    return list(range(1, dealt.manifest()["shards"] + 1))


def is_done(plan: Plan, stage: str, part: Part) -> bool:
    return whole(part, plan.output if stage == "write" else None)


def to_do(plan: Plan, stage: str) -> list[int]:
    return [
        number for number in numbers_of(plan, stage) if not is_done(plan, stage, plan.part(stage, number))
    ]
