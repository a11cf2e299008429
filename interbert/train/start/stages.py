"""Pretraining in stages, as ImageBERT does it: each stage is a run of its own in the folder of the whole one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from interbert.config import Settings
from interbert.files import write_text
from interbert.model.shape.heads_needed import wanted_heads
from interbert.ranks.ending import EXIT_CODES
from interbert.recipe import read_config
from interbert.train.folder.resume import Leg, forget, refuse_other_settings
from interbert.train.folder.run_folder import RunFolder, tell_of_stage

if TYPE_CHECKING:
    from interbert.ranks.distributed import Ranks

Run = Callable[[Leg], int]
"""-> exit code"""


def legs_of(settings: Settings, folder: Path, max_steps: int | None) -> list[Leg]:
    """What is to be trained, in order; a plain run is one leg. `max_steps` counts over all of them."""
    if not settings.stages:
        scheduled = scheduled_steps(settings, RunFolder(folder))
        return [Leg(settings, RunFolder(folder), min(scheduled, max_steps or scheduled))]
    legs, last, left = [], None, max_steps
    for number, stage in enumerate(settings.stages):
        own, steps = RunFolder(folder / stage.name), stage.train.schedule_steps
        if left is not None:
            steps = min(steps, left)
            left -= steps
        if steps < 1:
            break
        legs.append(Leg(_stage_settings(settings, number, last), own, steps))
        last = own
    return legs


def scheduled_steps(settings: Settings, folder: RunFolder) -> int:
    """How many steps of epochs are is settled when a run begins, and stands in its config.yaml then."""
    if settings.train.epochs is None:
        return settings.train.schedule_steps
    if folder.config.is_file():
        settled = read_config(folder.config).train
        if settled.epochs == settings.train.epochs:
            return settled.schedule_steps
    return sys.maxsize


def run_stages(
    settings: Settings, whole: RunFolder, legs: list[Leg], run: Run, ranks: Ranks, afresh: bool
) -> int:
    """Trains what is not finished yet; a stage that was stopped goes on from its own checkpoints."""
    ranks.main_only(lambda: _take_up(settings, whole, afresh))
    done = 0
    for number, leg in enumerate(legs, 1):
        if not ranks.main_only(lambda leg=leg: leg.finished):
            if ranks.is_main:
                print(f"stage {number} of {len(settings.stages)}: {leg.folder.path.name}", flush=True)
            ranks.main_only(lambda leg=leg, done=done: _begin(whole, leg.folder, done))
            code = run(leg)
            if code == EXIT_CODES["failed"]:  # perhaps on this rank alone: no waiting for the others
                tell_of_stage(whole, leg.folder, done)
                return code
            ranks.main_only(lambda leg=leg, done=done: tell_of_stage(whole, leg.folder, done))
            if code != EXIT_CODES["finished"]:
                return code
        done += ranks.main_only(leg.folder.last_step)
    ranks.main_only(lambda: _finish(settings, whole, legs, done))
    return EXIT_CODES["finished"]


def _take_up(settings: Settings, whole: RunFolder, afresh: bool) -> None:
    uncut = legs_of(settings, whole.path, None)
    if afresh:
        forget(uncut)
        if whole.export.is_symlink():
            whole.export.unlink()
    else:
        refuse_other_settings(uncut)
    write_text(whole.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def _stage_settings(settings: Settings, number: int, last: RunFolder | None) -> Settings:
    stage = settings.stages[number]
    if last is None and stage.model.inherit_from:
        model = stage.model
    elif last is None:
        heads = wanted_heads(stage.model, (name for each in settings.stages for name in each.objectives))
        model = stage.model.model_copy(
            update={"override": {"prediction_heads": heads, **stage.model.override}}
        )
    else:
        model = stage.model.model_copy(
            update={"inherit_from": str(last.export), "bert": None, "override": {}}
        )
    return stage.model_copy(update={"name": f"{settings.name}/{stage.name}", "model": model})


def _begin(whole: RunFolder, own: RunFolder, done: int) -> None:
    """What an earlier start left about its end, in either folder, is not this one's."""
    whole.write_status("running", done, f"stage {own.path.name}")
    own.write_status("running", own.last_step(), "preparing")


def _finish(settings: Settings, whole: RunFolder, legs: list[Leg], steps: int) -> None:
    """Only a run that has been through all of its stages has an export."""
    last = legs[-1]
    reason = f"reached step {steps}, in stage {last.folder.path.name}"
    left = legs_of(settings, whole.path, None)[len(legs) :]
    if left:
        names = [
            leg.folder.path.name + (f" (at step {leg.folder.last_step()})" if leg.begun else "")
            for leg in left
        ]
        reason += f"; not trained to the end: {', '.join(names)}"
    elif last.steps < last.settings.train.schedule_steps:
        reason += f", which has {last.settings.train.schedule_steps}"
    else:
        link = whole.path / ".export"
        link.unlink(missing_ok=True)
        link.symlink_to(last.folder.export.relative_to(whole.path))
        link.replace(whole.export)
    whole.write_status("finished", steps, reason)
