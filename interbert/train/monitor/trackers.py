"""Where figures go besides TensorBoard (docs/trackers.md). Rank 0 only.

A run lives on without a tracker that fails: its figures are in metrics.jsonl as well.
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from interbert.config import Settings
from interbert.files import read_json, write_json
from interbert.plugins import load_function

log = logging.getLogger(__name__)

KNOWN = {name: f"interbert.train.monitor.known_trackers:{name}" for name in ("wandb", "mlflow")}
"""By the name of their package; all others are functions of people's own."""
KEPT = "trackers.json"
"""What each tracker asked to be kept of the run, so that a resumed run goes on in the same one."""


class Tracker(Protocol):
    """What a tracker's function returns."""

    kept: str
    """By which the tracker knows this run again; empty if it needs nothing."""

    def log(self, step: int, figures: dict[str, float]) -> None: ...

    def close(self) -> None: ...


def tracker_of(spec: str) -> Callable[..., Any]:
    """The function that begins it. What cannot be had is refused before a run begins."""
    if spec in KNOWN and find_spec(spec) is None:
        raise ValueError(f"train.trackers: {spec} is not installed: pip install {spec}")
    return load_function(KNOWN.get(spec, spec), "train.trackers")


class Trackers:
    def __init__(self, folder: Path, settings: Settings, step: int) -> None:
        """step: that the run goes on from. One that begins anew is another run to the trackers as well."""
        place = folder / KEPT
        known = read_json(place) if step and place.is_file() else {}
        self._open: dict[str, Tracker] = {}
        for spec in settings.train.trackers:
            self._try(spec, lambda spec=spec: self._begin(spec, folder, settings, known.get(spec, "")))
        if self._open:
            # One that could not begin this time goes on in its own the next time.
            write_json(place, known | {spec: str(tracker.kept) for spec, tracker in self._open.items()})

    def _begin(self, spec: str, folder: Path, settings: Settings, kept: str) -> None:
        self._open[spec] = tracker_of(spec)(
            folder=folder, settings=settings.model_dump(mode="json"), kept=kept
        )

    def log(self, step: int, figures: dict[str, float]) -> None:
        for spec, tracker in list(self._open.items()):
            self._try(spec, lambda tracker=tracker: tracker.log(step, figures))

    def close(self) -> None:
        for spec, tracker in list(self._open.items()):
            self._try(spec, tracker.close)

    def _try(self, spec: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._open.pop(spec, None)
            log.warning(
                "train.trackers: %s failed (%s: %s); the run goes on without it",
                spec,
                type(error).__name__,
                error,
            )
