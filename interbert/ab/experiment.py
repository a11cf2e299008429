"""What a trial is: its arms, their shares, and which user is in which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import xxhash
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

BUCKETS = 10_000
NAME = r"[A-Za-z0-9_-]{1,40}"
USER = re.compile(r"[\x21-\x7e]{1,128}")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ArmSettings(Closed):
    share: Annotated[float, Field(gt=0, le=1)]
    """Of all users."""
    index: Path | None = None
    """Of its own, made by its model; none: that of the server's command line."""
    model: Path | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> ArmSettings:
        if (self.index is None) != (self.model is None):
            raise ValueError(
                "an index serves the model that made it: give both, or none for the server's own"
            )
        return self


class Experiment(Closed):
    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    salt: Annotated[str, Field(min_length=1, max_length=200)]
    """Another salt deals all users anew: give every trial its own."""
    arms: dict[Annotated[str, Field(pattern=f"^{NAME}$")], ArmSettings]
    """Two, the first of which is what the second is compared with; or one, that is only recorded."""
    planned_users: Annotated[int, Field(ge=1)] | None = None
    """In both arms together, after which the trial is judged, once."""

    @model_validator(mode="after")
    def _two_within_the_whole(self) -> Experiment:
        if len(self.arms) not in (1, 2):
            raise ValueError(f"arms: there are {len(self.arms)}; a trial compares 2")
        if (together := sum(arm.share for arm in self.arms.values())) > 1 + 1e-9:
            raise ValueError(
                f"arms: their shares are {together:g} together; they are of all users, 1 at most"
            )
        if next(iter(self.arms.values())).model is not None:
            raise ValueError("arms: the first is the server's own; take index and model out of it")
        return self

    def arm_of(self, user: str) -> str | None:
        """Always the same of the same user. None: outside of the trial."""
        bucket = xxhash.xxh3_64_intdigest(f"{self.salt}\0{user}".encode()) % BUCKETS
        first, *second = self.arms
        if bucket < round(self.arms[first].share * BUCKETS):
            return first
        # From the other end: either may grow into those outside, and nobody changes sides.
        if second and bucket >= BUCKETS - round(self.arms[second[0]].share * BUCKETS):
            return second[0]
        return None

    def told(self) -> dict[str, Any]:
        """What must not change while events are gathered."""
        shares = {name: arm.share for name, arm in self.arms.items()}
        return {"name": self.name, "salt": self.salt, "shares": shares, "planned_users": self.planned_users}

    def mark_of(self, user: str) -> str:
        """What is kept of a user: a number that tells one from another."""
        return xxhash.xxh3_128_hexdigest(f"{self.salt}\0kept\0{user}".encode())


EVERYONE = Experiment(name="everyone", salt="everyone", arms={"all": ArmSettings(share=1)})
"""No trial: one model, whose searches and clicks are kept."""


def read_experiment(path: Path) -> Experiment:
    try:
        return Experiment.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in faults[:3])
        raise ValueError(f"{path}: {told}; docs/serving.md has an example") from None


def must_be_user(user: str) -> None:
    if not USER.fullmatch(user):
        raise ValueError(
            f"x-user is {user[:40]!r}; send 1 to 128 printable ASCII characters without spaces, such as a hash"
        )
