"""Checkpoints that are whole or not there.

    checkpoints/step_N/part_R.safetensors   each parameter's weight and moments, whole, in fp32; shared among ranks
                       state.json           where the run stands: step, position in the data, counters, identity
                       manifest.json        size and sha256 of every other file; written last

They know neither the ZeRO stage nor the number of ranks, and hold no code. Saved under a temporary name, forced to
disk, renamed. Nothing is loaded before the manifest has been checked.
"""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from interbert.files import digest, new_folder, read_json, remove, settle_folder, write_json
from interbert.ranks.distributed import Ranks
from interbert.train.checkpoints.part_file import PartFile
from interbert.train.engine import whole_state

MANIFEST = "manifest.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def save(engine, checkpoints: Path, state: dict[str, Any], ranks: Ranks) -> Path:
    """Saves from all ranks; a failure on any of them leaves no new checkpoint and is raised on all."""
    final = checkpoints / f"step_{state['step']}"
    partial = checkpoints / f".step_{state['step']}.partial"
    try:
        ranks.main_only(lambda: _make_room(partial, size_of(engine), final.name))
        parts = _save_parts(engine, partial, ranks)
        whole = state | {"engine": whole_state.counters(engine)}
        ranks.main_only(lambda: _seal(partial, final, whole, parts))
    except OSError as error:
        raise CheckpointError(f"{final} could not be saved: {error}") from None
    finally:
        if ranks.is_main:  # all that is left of it after a failure, nothing otherwise
            shutil.rmtree(partial, ignore_errors=True)
    return final


def size_of(engine) -> int:
    """Bytes of a checkpoint: weight, moments and what else there is of each parameter in fp32, and a little."""
    numbers = sum(
        len(whole_state.keys_of(engine, parameter)) * math.prod(whole_state.shape_of(parameter))
        for _, parameter in whole_state.named_parameters(engine)
    )
    return 4 * numbers + 2**20


def check_space(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"{folder}: {free / 1e9:.3g} GB are free, and {what} takes {needed / 1e9:.3g} GB; make room, lower "
            "train.keep_checkpoints, or name a folder on another disk by --output-dir"
        )


def _make_room(partial: Path, needed: int, what: str) -> None:
    new_folder(partial)
    check_space(partial, needed, f"saving {what}")


def _save_parts(engine, partial: Path, ranks: Ranks) -> dict[str, dict[str, Any]]:
    """Each rank writes its part and says what it wrote: name -> size and sha256."""
    name = f"part_{ranks.rank}.safetensors"
    told = ranks.gather(_save_part(engine, partial / name, ranks))
    problems = [f"rank {rank}: {problem}" for rank, (_, problem) in enumerate(told) if problem]
    if problems:
        raise OSError("; ".join(problems))
    return {f"part_{rank}.safetensors": described for rank, (described, _) in enumerate(told)}


def _save_part(engine, path: Path, ranks: Ranks) -> tuple[dict[str, Any], str]:
    """What was written, and what failed: not raised yet, for the others gather together with this rank."""
    parameters = dict(whole_state.named_parameters(engine))
    shapes = {name: whole_state.shape_of(p) for name, p in parameters.items()}
    keys = {name: whole_state.keys_of(engine, p) for name, p in parameters.items()}
    owners = share_out({n: len(keys[n]) * math.prod(shapes[n]) for n in shapes}, ranks.world_size)
    own = [name for name in shapes if owners[name] == ranks.rank]
    file = PartFile(path, {f"{key}/{name}": shapes[name] for name in own for key in keys[name]})
    for name, tensors in whole_state.gather(engine):
        if owners[name] == ranks.rank:
            for key in keys[name]:
                file.add(tensors[key])
    return file.close()


def share_out(sizes: dict[str, int], ranks: int) -> dict[str, int]:
    """name -> rank, so that all ranks have about as much; the same wherever it is asked."""
    loads, owners = [0] * ranks, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        owners[name] = loads.index(min(loads))
        loads[owners[name]] += sizes[name]
    return owners


def _seal(partial: Path, final: Path, state: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    for name, described in parts.items():
        path = partial / name
        if not path.is_file() or path.stat().st_size != described["bytes"]:
            raise CheckpointError(
                f"{path} was written, but rank 0 does not see it; let --output-dir lie on a disk that all hosts see"
            )
    write_json(partial / "state.json", state)
    files = parts | {"state.json": _describe(partial / "state.json")}
    write_json(partial / MANIFEST, {"step": state["step"], "files": files})
    settle_folder(partial, final)


def verify(checkpoint: Path) -> dict[str, Any]:
    """Checks every file against the manifest; returns the state. Raises CheckpointError naming what is wrong."""
    try:
        return _verify(checkpoint)
    except OSError as error:
        raise CheckpointError(f"{checkpoint} cannot be read: {error}") from None


def _verify(checkpoint: Path) -> dict[str, Any]:
    manifest_path = checkpoint / MANIFEST
    try:
        files = {name: dict(described) for name, described in read_json(manifest_path)["files"].items()}
    except FileNotFoundError:
        raise CheckpointError(f"{checkpoint}: no {MANIFEST}, so it was never finished") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{manifest_path} is damaged: not a manifest") from None
    for path in _files(checkpoint):
        if path.is_symlink():
            raise CheckpointError(f"{path} is a link: a checkpoint's files lie in its own folder")
        if path.stat().st_uid not in (os.getuid(), checkpoint.parent.stat().st_uid):
            raise CheckpointError(f"{path} belongs to another user than you and the folder of checkpoints")
    there = {str(path.relative_to(checkpoint)) for path in _files(checkpoint)} - {MANIFEST}
    for name in sorted(set(files) | there):
        if name not in there:
            raise CheckpointError(f"{checkpoint / name} is missing")
        if name not in files:
            raise CheckpointError(f"{checkpoint / name} is not in the manifest: it does not belong there")
        found, expected = _describe(checkpoint / name), files[name]
        for field in ("bytes", "sha256"):
            if found[field] != expected.get(field):
                raise CheckpointError(
                    f"{checkpoint / name}: {field} is {found[field]}, expected {expected.get(field)}"
                )
    if "state.json" not in files:
        raise CheckpointError(f"{checkpoint}: the manifest names no state.json")
    state = read_json(checkpoint / "state.json")
    if "engine" not in state:
        raise CheckpointError(
            f"{checkpoint} is of an older version, whose checkpoints this one does not read"
        )
    return state


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


def load(engine, checkpoint: Path, state: dict[str, Any]) -> None:
    """Sets weights and optimizer from a checkpoint that has been verified, with its state."""
    parts = [_open(file) for file in sorted(checkpoint.glob("part_*.safetensors"))]
    where = {name: part for part in parts for name in part.keys()}  # noqa: SIM118

    keys = {name: whole_state.keys_of(engine, p) for name, p in whole_state.named_parameters(engine)}

    def read(parameter: str) -> dict[str, Tensor]:
        names = {key: f"{key}/{parameter}" for key in keys[parameter]}
        missing = [name for name in names.values() if name not in where]
        if missing:
            raise CheckpointError(f"{checkpoint} lacks {', '.join(missing)}: it is of another model")
        return {key: where[name].get_tensor(name) for key, name in names.items()}

    with torch.no_grad():
        whole_state.scatter(engine, read)
    whole_state.set_counters(engine, state["engine"])


def _open(part: Path):
    try:
        return safe_open(part, "pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{part}: not a safetensors file ({error})") from None


def prune(checkpoints: Path, keep: int, best: int | None, resumed: int | None, warn) -> None:
    """Removes all but the `keep` latest and the best one; the one resumed from only once the newest one verifies."""
    found = list_checkpoints(checkpoints)
    for checkpoint in found[:-keep]:
        if step_of(checkpoint) == best:
            continue
        if step_of(checkpoint) == resumed:
            try:
                verify(found[-1])
            except CheckpointError as error:
                warn(f"{checkpoint}, which the run went on from, is kept: {error}")
                continue
        try:
            shutil.rmtree(checkpoint)
        except OSError as error:
            warn(f"{checkpoint} could not be removed: {error}")


def sweep(checkpoints: Path) -> None:
    """Removes what saves left that were killed."""
    for partial in checkpoints.glob(".step_*.partial"):
        remove(partial)


def set_aside(checkpoints: Path, after: int) -> list[Path]:
    """Moves checkpoints beyond step `after` into a folder of their own: a run that goes on from an earlier step
    (or from nothing) has left them, and `latest` must not find them again. Nothing is deleted."""
    left = [checkpoint for checkpoint in list_checkpoints(checkpoints) if step_of(checkpoint) > after]
    if left:
        used = [int(n) for p in checkpoints.glob("left_*") if (n := p.name.removeprefix("left_")).isdigit()]
        folder = checkpoints / f"left_{max(used, default=0) + 1}"
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
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest(path)}
