"""Trials of which the answer is known: users that were made, with a difference that was planted."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from small_search import addition, empty_index

from interbert.ab.experiment import Experiment
from interbert.ab.record import Click, Exposure, Record, Searched

ITEMS, LIST, AT_A_TIME = 50, 5, 5000


def write_made_index(path: Path, items: int = ITEMS) -> Path:
    with empty_index(path) as index:
        index.put([addition(number) for number in range(items)])
    return path


def write_trial(
    folder: Path,
    experiment: Experiment,
    index: Path,
    users: int = 2000,
    ctr: dict[str, float] | None = None,
    among: dict[str, int] | None = None,
    lost: float = 0.0,
    seed: int = 1,
    **searched,
) -> None:
    """ctr: of an item seen. among: the first items, of which each arm shows any. lost: share of the last arm's users
    of whom nothing arrives. searched: what differs of all searches."""
    rng = np.random.default_rng(seed)
    arms = list(experiment.arms)
    record = Record(folder, experiment.told(), dict.fromkeys(arms, str(index)))
    told = _users(experiment, users, ctr or {}, among or {}, lost, rng, searched)
    while some := list(islice(told, AT_A_TIME)):
        for search, _ in some:
            record.note(search)
        record.put([event for _, events in some for event in events]).result(60)
    assert not record.lost
    record.close()


def _users(
    experiment: Experiment,
    users: int,
    ctr: dict[str, float],
    among: dict[str, int],
    lost: float,
    rng: np.random.Generator,
    searched: dict,
) -> Iterator[tuple[Searched, list[Exposure | Click]]]:
    last = list(experiment.arms)[-1]
    for user in (f"user-{number}" for number in range(users)):
        arm = experiment.arm_of(user)
        if arm is None or (arm == last and rng.random() < lost):
            continue
        own = ctr.get(arm, 0.05) * rng.gamma(2, 0.5)
        for number in range(rng.geometric(0.5)):
            name = f"{user}-{number}"
            seconds = float(rng.gamma(2, 0.02 if arm == last else 0.01))
            fields = {"model": arm * 64, "sequence": 1, "status": 200, "seconds": seconds, **searched}
            search = Searched(name, float(number), experiment.mark_of(user), arm, **fields)
            items = rng.permutation(among.get(arm, ITEMS))[:LIST]
            seen = [Exposure(name, f"item-{item}", place) for place, item in enumerate(items)]
            clicked = [Click(name, one.item) for one in seen if rng.random() < own]
            yield search, [*seen, *clicked]
