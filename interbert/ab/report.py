"""What a trial says, with what speaks against believing it first."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from interbert.ab.read import SEED, Arm, Trial
from interbert.ab.statistics import FEW, difference, gini, rate, resplit, sample_ratio

SUSPECT = 0.001
"""p of the sample ratio, below which something sorts users."""
QUANTILES = (50, 95, 99)
FIGURES = {
    "ctr": ("clicks an item seen", "clicks_U", "exposures_U"),
    "searches_with_a_click": ("searches with a click", "chosen_U", "shown_U"),
    "diversity": ("diversity of a list", "diversity_U", "lists_U"),
}


def report_of(trial: Trial) -> dict[str, Any]:
    arms = trial.arms
    told = {name: trial.about[name] for name in ("name", "planned_users")}
    told |= {"began": trial.began, "ended": trial.ended, "crossed": trial.crossed, "items": trial.items}
    told |= {"unseen_clicks": trial.unseen_clicks, "arms": {arm.name: _of_arm(arm) for arm in arms}}
    told["same_model"] = len(arms) == 2 and arms[0].models == arms[1].models != []
    told["checks"] = checks = _checks(trial)
    told["figures"] = {name: _figure(arms, *of) for name, of in FIGURES.items()}
    told |= _shown(arms, trial.items)
    told["warnings"] = _warnings(trial, told, checks)
    return told


def _of_arm(arm: Arm) -> dict[str, Any]:
    requests = len(arm.seconds_S) + arm.refused + arm.failed + arm.left
    latency = (
        dict(zip(QUANTILES, np.percentile(arm.seconds_S, QUANTILES), strict=True))
        if len(arm.seconds_S)
        else {}
    )
    return {
        "share": arm.share,
        "users": arm.users,
        "searches": requests,
        "refused": arm.refused,
        "failed": arm.failed,
        "left": arm.left,
        "exposures": int(arm.exposures_U.sum()),
        "clicks": int(arm.clicks_U.sum()),
        "seconds": {f"p{q}": float(value) for q, value in latency.items()},
        "models": arm.models,
    }


def _checks(trial: Trial) -> dict[str, Any]:
    arms = trial.arms
    first = arms[0]
    again = resplit(first.clicks_U, first.exposures_U)
    found: dict[str, Any] = {"resplit": None if again is None else asdict(again) | {"honest": again.honest}}
    if len(arms) == 2:
        found["sample_ratio_p"] = sample_ratio([arm.users for arm in arms], [arm.share for arm in arms])
    return found


def _figure(arms: list[Arm], title: str, y: str, x: str) -> dict[str, Any]:
    rates = [rate(getattr(arm, y), getattr(arm, x)) for arm in arms]
    rates = [None if of is None or of.users < FEW else of for of in rates]
    each = {
        arm.name: None if of is None else asdict(of) | {"low": of.low, "high": of.high}
        for arm, of in zip(arms, rates, strict=True)
    }
    both = len(rates) == 2 and rates[0] is not None and rates[1] is not None
    return {
        "title": title,
        "arms": each,
        "difference": asdict(difference(rates[0], rates[1])) if both else None,
    }


def _shown(arms: list[Arm], items: int | None) -> dict[str, Any]:
    """Of as many searches of each arm: more searches alone show more items."""
    searches = min(len(arm.lists) for arm in arms)
    rng = np.random.default_rng(SEED)
    found = {}
    for arm in arms:
        some = rng.permutation(len(arm.lists))[:searches]
        counts = Counter(item for place in some for item in arm.lists[place])
        of = max(items or 0, len(counts))
        exposures_I = np.zeros(of)
        exposures_I[: len(counts)] = list(counts.values())
        known = items is not None and bool(counts)
        found[arm.name] = {
            "items_seen": len(counts),
            "coverage": len(counts) / of if known else None,
            "exposure_gini": gini(exposures_I) if known else None,
        }
    return {"shown": {"searches": searches, "arms": found}}


def _warnings(trial: Trial, told: dict[str, Any], checks: dict[str, Any]) -> list[str]:
    said = []
    p = checks.get("sample_ratio_p")
    if p is not None and p < SUSPECT:
        counts = ", ".join(f"{arm.name} {arm.users:,} (share {arm.share:g})" for arm in trial.arms)
        said.append(
            f"Users did not come to the arms by their shares: {counts}, p = {p:.1e}. Something sorts them, such as a "
            "cache, a redirect or lost events; no figure below is to be believed before it is found."
        )
    if trial.crossed:
        said.append(
            f"{trial.crossed:,} users were in both arms, and are in no figure: was the salt or a share changed?"
        )
    for arm in trial.arms:
        if (seen := int((arm.exposures_U > 0).sum())) < FEW:
            said.append(f"{seen} users of arm {arm.name} saw anything: of so few no figure is told.")
        if len(arm.models) > 1:
            said.append(f"Arm {arm.name} was answered by {len(arm.models)} models, one after another.")
    again = checks["resplit"]
    if again is not None and not again["honest"]:
        said.append(
            f"Halves of one arm that differ in nothing differ at p < 0.05 in {100 * again['alarms']:.1f} % of "
            f"{again['times']:,} deals, and not in about 5 %: too few users, or a few that do most; intervals of "
            "clicks are not what they say."
        )
    if told["same_model"]:
        said.append(
            "Both arms have one model: this is an A/A trial, and whatever differs is chance or a fault."
        )
    users = sum(arm.users for arm in trial.arms)
    if trial.about["planned_users"] is not None and users < trial.about["planned_users"]:
        said.append(
            f"{users:,} of {trial.about['planned_users']:,} planned users have come. Whoever looks again and again, "
            "and stops where p is small, finds differences that are none: judge it once, at the end."
        )
    if trial.unseen_clicks:
        said.append(
            f"{trial.unseen_clicks:,} clicks are on items of which no exposure was told; they count nothing."
        )
    return said
