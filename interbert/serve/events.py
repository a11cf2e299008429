"""What clients tell of what users saw and clicked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from interbert.ab.record import Click, Exposure
from interbert.search.intake import LONGEST_ID
from interbert.search.requests import TooMuch
from interbert.serve.shapes import Closed, Several, shaped

MOST = 1000
"""Events of a body, and items of an event."""
MOST_SEEN = 10_000
"""Items of all of them: each is a row."""
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class ExposureBody(Closed):
    """Items that a user saw, in the order that they had."""

    type: Literal["exposure"]
    search: Id = Field(description="what `x-search` of the answer said")
    items: Annotated[list[Id], Several]
    first: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="place of the first; 0 is the top"
    )


class ClickBody(Closed):
    type: Literal["click"]
    search: Id
    item: Id


class EventsBody(Closed):
    """All of them are kept, or none."""

    events: Annotated[list[Annotated[ExposureBody | ClickBody, Field(discriminator="type")]], Several]


def events_of(value: object) -> list[Exposure | Click]:
    sent = shaped(EventsBody, value).events
    seen = [len(one.items) for one in sent if isinstance(one, ExposureBody)]
    if (most := max([len(sent), *seen])) > MOST:
        raise TooMuch(
            f"{most:,} events, or items of one, in a body, and {MOST:,} are taken; send several bodies"
        )
    if sum(seen) > MOST_SEEN:
        raise TooMuch(f"{sum(seen):,} items seen in a body, and {MOST_SEEN:,} are taken; send several bodies")
    events: list[Exposure | Click] = []
    for one in sent:
        if isinstance(one, ClickBody):
            events.append(Click(one.search, one.item))
        else:
            events += [Exposure(one.search, item, one.first + place) for place, item in enumerate(one.items)]
    return events
