"""Where a run begins. Here it is decided, for plain runs and for stages, for starts by hand and for restarts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.config import Settings, SettingsError
from interbert.train.checkpoints.identity import compare_with_config
from interbert.train.folder.run_folder import RunFolder

RESTARTS = ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT")


@dataclass(frozen=True)
class Leg:
    """A run from its first to its last step: a plain run, or a stage of a staged one."""

    settings: Settings
    folder: RunFolder
    steps: int
    """Where it ends: its schedule's end, or earlier by --max-steps."""

    @property
    def begun(self) -> bool:
        status = self.folder.read_status()
        return status is not None and status["step"] > 0

    @property
    def finished(self) -> bool:
        return self.folder.finished_at(self.steps)


@dataclass(frozen=True)
class Beginning:
    """The checkpoint to go on from, verified, with its state; none: from nothing."""

    checkpoint: Path | None = None
    state: dict[str, Any] = field(default_factory=dict)


def was_restarted() -> bool:
    """By SLURM or by torchrun, with the words of its first start: it goes on, whatever --resume said then."""
    return any(int(os.environ.get(name, "0")) > 0 for name in RESTARTS)


def resume_of(asked: str, restarted: bool, folder: RunFolder) -> str:
    """A restarted run goes on from what it has saved; before its first save from where it was told to begin."""
    if not restarted:
        return asked
    from interbert.train.checkpoints.checkpoint import list_checkpoints

    return "latest" if asked == "none" or list_checkpoints(folder.checkpoints) else asked


def nothing_left(whole: RunFolder, legs: list[Leg], uncut: list[Leg]) -> bool:
    """Whether all of it is trained. Raises where what is there was begun with other settings.

    uncut: the legs as they are without --max-steps, for a later start may have begun more of them.
    """
    refuse_other_settings(uncut)
    status = whole.read_status()
    return status is not None and status["state"] == "finished" and all(leg.finished for leg in legs)


def refuse_other_settings(legs: Iterable[Leg]) -> None:
    """Before anything is opened or written: no leg that has begun goes on as another run."""
    for leg in legs:
        if leg.begun and leg.folder.config.is_file():
            compare_with_config(leg.folder.config, leg.settings)


def begin(folder: RunFolder, resume: str, warn: Callable[[str], None]) -> Beginning:
    """What `--resume latest|none|PATH` means for the run in this folder."""
    from interbert.train.checkpoints import checkpoint

    checkpoint.sweep(folder.checkpoints)
    found = checkpoint.find(resume, folder.checkpoints, warn)
    if found is not None:
        return Beginning(*found)
    if resume == "latest":
        _refuse_a_lost_past(folder)
    return Beginning()


def forget(legs: Iterable[Leg]) -> None:
    """All stages are to be trained again: what they have is set aside, so that no later start takes it for theirs."""
    from interbert.train.checkpoints import checkpoint

    for leg in legs:
        if leg.folder.path.is_dir():
            checkpoint.set_aside(leg.folder.checkpoints, after=-1)
            leg.folder.write_status("preempted", 0, "to be trained again: --resume none")
            leg.folder.write_saved(0)


def _refuse_a_lost_past(folder: RunFolder) -> None:
    """A run that ended before its first save has lost nothing that could be brought back: it begins again."""
    saved = folder.saved_step()
    if saved > 0:
        raise SettingsError(
            f"{folder.path}: status.json speaks of a checkpoint of step {saved}, but there is none; "
            "give --resume none to start again there, or another --output-dir"
        )
