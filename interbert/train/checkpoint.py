"""Checkpoints that are whole or not there.

    checkpoints/step_N/engine/…       what DeepSpeed saves, all ranks
                      state.json      where the run stands: step, position in the data, counters, identity
                      manifest.json   size and sha256 of every other file; written last

Saved under a temporary name, forced to disk, renamed. DeepSpeed's files are pickles, that is, code: nothing is
loaded before the manifest has been checked.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from interbert.files import read_json, settle_folder, write_json
from interbert.train.distributed import Ranks

MANIFEST = "manifest.json"
TAG = "engine"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def save(engine, checkpoints: Path, state: dict[str, Any], ranks: Ranks) -> Path:
    """Saves from all ranks; a failure on any of them leaves no new checkpoint and is raised on all."""
    final = checkpoints / f"step_{state['step']}"
    partial = checkpoints / f".step_{state['step']}.partial"
    ranks.main_only(lambda: (shutil.rmtree(partial, ignore_errors=True), partial.mkdir(parents=True)))
    failures = _save_parts(engine, partial)
    problems = [f"rank {rank}: {texts[0]}" for rank, texts in enumerate(ranks.gather(failures)) if texts]
    if problems:
        ranks.main_only(lambda: shutil.rmtree(partial, ignore_errors=True))
        raise CheckpointError(f"{final} could not be saved: " + "; ".join(problems))
    ranks.main_only(lambda: _seal(partial, final, state))
    return final


def _save_parts(engine, partial: Path) -> list[str]:
    """DeepSpeed's files of this rank. A write that fails is noted and passed over, for the other ranks wait for this
    one in DeepSpeed's barriers; returns what failed."""
    failures: list[str] = []
    writer = engine.checkpoint_engine
    write = writer.save

    def save(*arguments, **named):
        try:
            return write(*arguments, **named)
        except Exception as error:
            failures.append(str(error))

    writer.save = save
    try:
        engine.save_checkpoint(str(partial), tag=TAG, save_latest=False)
    except Exception as error:
        failures.append(str(error))
    finally:
        writer.save = write
    return failures


def _seal(partial: Path, final: Path, state: dict[str, Any]) -> None:
    try:
        write_json(partial / "state.json", state)
        files = {str(path.relative_to(partial)): _describe(path) for path in _files(partial)}
        write_json(partial / MANIFEST, {"step": state["step"], "files": files})
        settle_folder(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def verify(checkpoint: Path) -> dict[str, Any]:
    """Checks every file against the manifest; returns the state. Raises CheckpointError naming what is wrong."""
    manifest_path = checkpoint / MANIFEST
    try:
        files = read_json(manifest_path)["files"]
    except FileNotFoundError:
        raise CheckpointError(f"{checkpoint}: no {MANIFEST}, so it was never finished") from None
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{manifest_path} is damaged: not a manifest") from None
    there = {str(path.relative_to(checkpoint)) for path in _files(checkpoint)} - {MANIFEST}
    for name in sorted(set(files) | there):
        if name not in there:
            raise CheckpointError(f"{checkpoint / name} is missing")
        if name not in files:
            raise CheckpointError(f"{checkpoint / name} is not in the manifest: it does not belong there")
        found, expected = _describe(checkpoint / name), files[name]
        for field in ("bytes", "sha256"):
            if found[field] != expected[field]:
                raise CheckpointError(
                    f"{checkpoint / name}: {field} is {found[field]}, expected {expected[field]}"
                )
    if "state.json" not in files:
        raise CheckpointError(f"{checkpoint}: the manifest names no state.json")
    return read_json(checkpoint / "state.json")


def find(resume: str, checkpoints: Path, warn) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint that `--resume latest|none|PATH` means, verified, with its state; None: start afresh.

    `latest` passes over a damaged checkpoint, saying so; but where all are damaged it stops instead of quietly
    starting again.
    """
    if resume == "none":
        return None
    if resume != "latest":
        return Path(resume), verify(Path(resume))
    candidates = list_checkpoints(checkpoints)
    for checkpoint in reversed(candidates):
        try:
            return checkpoint, verify(checkpoint)
        except CheckpointError as error:
            warn(f"passed over: {error}")
    if candidates:
        raise CheckpointError(
            f"none of the {len(candidates)} checkpoints in {checkpoints} is whole; "
            "start again with --resume none, or put an intact copy there"
        )
    return None


def load(engine, checkpoint: Path) -> None:
    """Loads weights and optimizer from a checkpoint that has been verified."""
    loaded, _ = engine.load_checkpoint(str(checkpoint), tag=TAG, load_lr_scheduler_states=False)
    if loaded is None:
        raise CheckpointError(f"{checkpoint}: DeepSpeed found nothing to load in it")


def prune(checkpoints: Path, keep: int, best: int | None) -> None:
    """Removes all but the `keep` latest and the best one."""
    for checkpoint in list_checkpoints(checkpoints)[:-keep]:
        if step_of(checkpoint) != best:
            shutil.rmtree(checkpoint)


def set_aside(checkpoints: Path, after: int) -> list[Path]:
    """Moves checkpoints beyond step `after` into a folder of their own: a run that goes on from an earlier step
    (or from nothing) has left them, and `latest` must not find them again. Nothing is deleted."""
    left = [checkpoint for checkpoint in list_checkpoints(checkpoints) if step_of(checkpoint) > after]
    if left:
        folder = checkpoints / f"left_{len(list(checkpoints.glob('left_*'))) + 1}"
        folder.mkdir()
        for checkpoint in left:
            checkpoint.rename(folder / checkpoint.name)
    return left


def list_checkpoints(checkpoints: Path) -> list[Path]:
    """Finished ones by step, oldest first."""
    found = [p for p in checkpoints.glob("step_*") if p.name.removeprefix("step_").isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step_"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _describe(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
