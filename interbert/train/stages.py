"""Pretraining in stages, as ImageBERT does it: each stage is a run of its own in the folder of the whole one."""

from collections.abc import Callable
from pathlib import Path

import yaml

from interbert import objectives
from interbert.config import Settings
from interbert.files import write_text
from interbert.model.configuration import preset
from interbert.train.distributed import Ranks
from interbert.train.run_folder import EXIT_CODES, RunFolder

Run = Callable[[Settings, Path, int | None], int]
"""(settings, folder, last step or None) -> exit code"""


def run_stages(
    settings: Settings, folder: Path, run: Run, max_steps: int | None, dry_run: bool, ranks: Ranks
) -> int:
    """Runs what is not finished yet; a stage that was stopped goes on from its own checkpoints.

    `max_steps` counts over all stages. The export of the last stage is that of the whole run.
    """
    whole, last, done = RunFolder(folder), None, 0
    if ranks.is_main and not dry_run:
        write_text(whole.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    for number, stage in enumerate(settings.stages):
        own, place = RunFolder(folder / stage.name), _stage_settings(settings, number, last)
        steps = stage.train.schedule_steps
        if max_steps is not None:
            steps = min(steps, max_steps - done)
        if steps < 1:
            break
        if not own.finished_at(steps):
            if ranks.is_main:
                print(f"stage {number + 1} of {len(settings.stages)}: {stage.name}", flush=True)
                if not dry_run:
                    whole.write_status("running", done, f"stage {stage.name}")
            code = run(place, own.path, steps)
            ranks.main_only(lambda own=own, done=done: _tell(whole, own, done, dry_run))
            if code != EXIT_CODES["finished"]:
                return code
        done += steps
        last = own
        if dry_run and not own.export.is_dir():
            return 0  # what follows starts from weights that are not there yet
    ranks.main_only(lambda: _finish(whole, last, done, dry_run))
    return 0


def _stage_settings(settings: Settings, number: int, last: RunFolder | None) -> Settings:
    stage = settings.stages[number]
    if last is None:
        needed = objectives.needs(name for each in settings.stages for name in each.objectives)
        matches = preset(stage.model.preset, stage.model.architecture).get("match_head", "fused") != "none"
        heads = sorted(needed | ({"match"} if matches else set()))
        model = stage.model.model_copy(
            update={"override": {"prediction_heads": heads, **stage.model.override}}
        )
    else:
        model = stage.model.model_copy(
            update={"inherit_from": str(last.export), "bert": None, "override": {}}
        )
    return stage.model_copy(update={"name": f"{settings.name}/{stage.name}", "model": model})


def _tell(whole: RunFolder, own: RunFolder, done: int, dry_run: bool) -> None:
    """The state of the whole is that of the stage it is in."""
    status = own.read_status()
    if status is not None and not dry_run and status["state"] != "finished":
        whole.write_status(
            status["state"], done + status["step"], f"stage {own.path.name}: {status['reason']}"
        )


def _finish(whole: RunFolder, last: RunFolder, steps: int, dry_run: bool) -> None:
    if dry_run or not last.export.is_dir():
        return
    link = whole.path / ".export"
    link.unlink(missing_ok=True)
    link.symlink_to(last.export.relative_to(whole.path))
    link.replace(whole.export)
    whole.write_status("finished", steps, f"reached step {steps}, in stage {last.path.name}")
