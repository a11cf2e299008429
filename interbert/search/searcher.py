"""Two stages, one queue: requests of all clients meet here, and leave as packed micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

from interbert.search.requests import (
    Embed,
    Embedded,
    Found,
    Options,
    Placed,
    Put,
    Ranked,
    Rerank,
    Search,
    Way,
)


@dataclass(frozen=True)
class Load:
    """How much a searcher has to do, for metrics and health."""

    requests: int
    """That wait or are worked on."""
    tokens: int
    """Of the work that is left."""
    tokens_per_second: float
    """Of the last micro-batches; 0 before the first."""
    micro_batches: int
    """Since it was opened, and so the following."""
    pairs: int
    dropped: int
    """Requests whose client had left."""
    late: int
    refused: int


class Searcher:
    """An index and the model that it was made by. Any number of threads may ask; one thread of its own runs the model.

    `submit` never blocks. Its future is cancelled (`Future.cancel`) when a client leaves, which drops what is left of
    its work; with asyncio, `asyncio.wrap_future` does that by itself. What a future raises: `Late`, `Closing`, a
    ValueError of the request's, or what went wrong.
    """

    @classmethod
    def open(
        cls, index: Path, model: Path, options: Options = Options(), device: str | None = None
    ) -> Self:
        """ValueError where the index was made by another model. device: None, a GPU where there is one."""
        raise NotImplementedError

    @property
    def way(self) -> Way:
        """How candidates are found, with the index as it stands."""
        raise NotImplementedError

    @property
    def notice(self) -> str | None:
        """What users should be told of that way, of a model without distilled heads."""
        raise NotImplementedError

    def warm(self) -> None:
        """One request of each kind through the model: what is compiled or read at first use is there then."""
        raise NotImplementedError

    @overload
    def submit(self, request: Search) -> Future[Found]: ...
    @overload
    def submit(self, request: Rerank) -> Future[Ranked]: ...
    @overload
    def submit(self, request: Embed) -> Future[Embedded]: ...
    @overload
    def submit(self, request: Put) -> Future[Placed]: ...
    def submit(self, request: Any) -> Future[Any]:
        """Raises at once: `Busy`, `Closing`, and ValueErrors of the request (`TooMuch`, `NoSuchItem`, other)."""
        raise NotImplementedError

    def remove(self, ids: Sequence[str]) -> Placed:
        """Gone from the next search on, and from the disk. Blocks for a write. Unknown ids are passed over."""
        raise NotImplementedError

    def item(self, item_id: str) -> dict[str, Any]:
        """{"id", "title", "attributes", "number", "regions"}; `NoSuchItem`."""
        raise NotImplementedError

    def vectors(self, numbers: Sequence[int]) -> Any:
        """float32 [numbers, width] of the first stage, by `Hit.number`: for diversity. Rows of items that have gone
        since are zeros."""
        raise NotImplementedError

    @property
    def load(self) -> Load:
        raise NotImplementedError

    def info(self) -> dict[str, Any]:
        """{"model": {"path", "sha256", "precision", "device"}, "index": {"path", "items", "sequence", "width", "kind",
        "recall"}, "way", "notice", "limits"}."""
        raise NotImplementedError

    def close(self, drain: float = 0.0) -> None:
        """Takes nothing more on; waits so many seconds for what is under way, fails the rest with `Closing`, leaves a
        snapshot, and ends its threads."""
        raise NotImplementedError
