"""From `--events` and `--ab` to the models of a trial, open."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from interbert.ab.experiment import EVERYONE, read_experiment
from interbert.ab.record import Record
from interbert.search.searcher import Searcher
from interbert.serve.door import Door
from interbert.serve.models import Models
from interbert.serve.pictures import Pictures
from interbert.serve.trial import Dealt, Trial

Make = Callable[..., Any]
"""Of a door, `of` a trial and `pictures` its application."""


@contextmanager
def application(
    make: Make,
    own: Door,
    events: Path | None = None,
    ab: Path | None = None,
    device: str | None = None,
    images: Sequence[Path] = (),
) -> Generator[tuple[Any, list[Door]]]:
    """What is served, and the doors to close in the end."""
    if events is None and ab is not None:
        raise ValueError("--ab needs a folder for what users saw and clicked: give --events DIR with it")
    with ExitStack() as opened:
        pictures = opened.enter_context(closing(Pictures(images)))
        if events is None:
            yield make(own, pictures=pictures), [own]
            return
        trial = opened.enter_context(_trial(own, events, ab, device))
        apps: dict[int, Any] = {}
        for door in trial.doors.values():
            apps.setdefault(id(door), make(door, of=trial, pictures=pictures))
        dealt = Dealt(trial, {name: apps[id(door)] for name, door in trial.doors.items()})
        yield dealt, list({id(door): door for door in trial.doors.values()}.values())


@contextmanager
def _trial(own: Door, events: Path, ab: Path | None, device: str | None) -> Generator[Trial]:
    experiment = EVERYONE if ab is None else read_experiment(ab)
    with ExitStack() as opened:
        doors = {}
        for name, arm in experiment.arms.items():
            if arm.index is None or arm.model is None:
                doors[name] = own
                continue
            open_ = partial(Searcher.open, device=device)
            models = opened.enter_context(closing(Models(open_(arm.index, arm.model), open_)))
            models.now.warm()
            doors[name] = Door(models, own.bodies, own.uploads)
        where = {
            name: str(cast(Searcher, door.searcher).index.path.absolute()) for name, door in doors.items()
        }
        record = opened.enter_context(closing(Record(events, experiment.told(), where)))
        yield Trial(experiment, doors, record)
