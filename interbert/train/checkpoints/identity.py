"""What decides the numbers of a run, so that a run is never continued as another one."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.config import (
    MaskSettings,
    MismatchSettings,
    Settings,
    SettingsError,
    TaskSettings,
    TrainSettings,
)
from interbert.recipe import read_config

if TYPE_CHECKING:  # light to import: the command line asks before the seconds that torch takes
    from interbert.train.engine.deepspeed_config import EngineConfig

FREE_TO_CHANGE = {
    "data": {
        *("threads", "validation", "verify_checksums", "skip_damaged"),
        *("train", "tokenizer", "allow_changed", "max_unknown"),
    },
    "train": {
        *("log_every", "validate_every", "validation_micro_batches", "picture_every"),
        *("checkpoint_every", "keep_checkpoints", "export_initial", "cuda_graphs", "recompute"),
        *("max_skipped", "patience", "save_patience", "trackers"),
    },
}
"""Settings that a resumed run may have otherwise; data and tokenizer are compared by fingerprint instead."""
LOOK_ALIKES = "look-alikes fingerprint"
"""Of the table in task.sets.near_table, which is compared by it and not by where it lies."""
_DATA, _COVERS = "data fingerprint", "data fingerprint covers"
_PATHS = ("model.bert", "model.inherit_from", "task.examples", "task.validation", "mismatch.hard_table")


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Every setting that decides numbers, flat."""
    tree = settings.model_dump(mode="json", exclude={"name", "scenes", "stages", "step"})
    task = tree.pop("task")
    tree |= {"task": task} if task else {}
    if task and task["sets"]:
        del task["sets"]["near_table"]
    if settings.train.micro_batches:  # which says what the batch would otherwise
        tree["train"]["batch"] = None
    if settings.train.epochs:  # which the steps follow from
        tree["train"]["schedule_steps"] = None
    return {
        f"{section}.{field}": value
        for section, fields in tree.items()
        for field, value in (fields or {}).items()
        if field not in FREE_TO_CHANGE.get(section, ())
    }


def describe_identity(
    settings: Settings, fingerprints: dict[str, str], engine: EngineConfig
) -> dict[str, Any]:
    """The same with data, tokenizer and precision, to be compared on resuming. Ranks and ZeRO stage may change."""
    return describe_settings(settings) | fingerprints | {"precision": engine.precision}


def compare_with_config(config: Path, settings: Settings) -> None:
    """Refuses settings that are not those of the finished run whose config.yaml this is."""
    compare_identity(config.parent, describe_settings(read_config(config)), describe_settings(settings))


def compare_identity(
    path: Path,
    saved: dict[str, Any],
    now: dict[str, Any],
    other_data: bool = False,
    earlier_fingerprint: str | None = None,
) -> None:
    """Refuses what is not the same run; with `other_data` the data set may have changed. A way of training that
    `saved` does not know, being of an earlier version, was the default.

    earlier_fingerprint: of the data, as versions took it that do not say what it covers.
    """
    if _COVERS in now and _COVERS not in saved:
        saved = saved | {_COVERS: now[_COVERS]}
        if saved.get(_DATA) == earlier_fingerprint:
            saved[_DATA] = now[_DATA]
    saved = saved | _without_look_alikes(saved, now)
    plain = {
        f"{section}.{field}": value
        for section, defaults in (
            ("train", TrainSettings()),
            ("task", TaskSettings(kind="classify")),
            ("masks", MaskSettings()),
            ("mismatch", MismatchSettings()),
        )
        for field, value in defaults.model_dump(mode="json", exclude={"kind"}).items()
    }
    saved = {key: plain[key] for key in now if key in plain} | saved
    free = {_DATA} if other_data else set()
    changed = [
        f"  {key}: {saved.get(key)!r} then, {now.get(key)!r} now"
        for key in sorted((saved.keys() | now.keys()) - free)
        if not _same(key, saved.get(key), now.get(key))
    ]
    if changed:
        allowed = (
            "; data.allow_changed=true goes on with other data" if f"  {_DATA}:" in "".join(changed) else ""
        )
        raise SettingsError(
            f"{path} belongs to another run:\n" + "\n".join(changed) + "\n"
            f"set them back{_line_to_type(saved, now)}, or start anew with --resume none or another "
            f"--output-dir{allowed}"
        )


def _without_look_alikes(saved: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version, which noted where they lay, would say of the sets today."""
    sets = saved.get("task.sets")
    if not isinstance(sets, dict) or "near_table" not in sets:
        return {}
    there = {"task.sets": {key: value for key, value in sets.items() if key != "near_table"}}
    return there | ({LOOK_ALIKES: now[LOOK_ALIKES]} if LOOK_ALIKES in now else {})


def _line_to_type(saved: dict[str, Any], now: dict[str, Any]) -> str:
    """The settings among what differs, as they were."""
    differ = [
        key for key in sorted(saved.keys() | now.keys()) if not _same(key, saved.get(key), now.get(key))
    ]
    if saved.get("train.micro_batches"):  # which decides, whatever the batch
        differ = [key for key in differ if key != "train.batch"]
    if saved.get("train.epochs"):  # which decide, whatever the steps
        differ = [key for key in differ if key != "train.schedule_steps"]
    sets = [f"--set {key}={_typed(saved.get(key))}" for key in differ if "." in key]
    return f" ({' '.join(sets)})" if sets else ""


def _typed(value: Any) -> str:
    text = "" if value is None else json.dumps(value)
    return text if re.fullmatch(r"[\w.+-]*", text) else shlex.quote(text)


def _same(key: str, saved: Any, now: Any) -> bool:
    if key in _PATHS and isinstance(saved, str) and isinstance(now, str):
        return os.path.abspath(saved) == os.path.abspath(now)  # wherever it was typed
    return saved == now
