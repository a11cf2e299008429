"""Two stages, one line: requests of all clients meet here, and leave as packed micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from torch import Tensor

from interbert.kernels.cpu import teams
from interbert.search.encoder import Encoder, budget_of
from interbert.search.engine.jobs import Stored
from interbert.search.engine.line import Line
from interbert.search.engine.worker import Worker
from interbert.search.index.build import encoder_for
from interbert.search.index.index import Index
from interbert.search.intake import Intake
from interbert.search.looks import Look
from interbert.search.mark import mark_of
from interbert.search.plans import Plans
from interbert.search.regions import RegionReader
from interbert.search.requests import (
    Embed,
    Embedded,
    Found,
    Options,
    Placed,
    Put,
    Ranked,
    Recommend,
    Recommended,
    Rerank,
    Search,
    Way,
)
from interbert.tokenizer import Tokenizer, load_tokenizer

MICRO_BATCHES_WAITING = 16


@dataclass(frozen=True)
class Load:
    """How much a searcher has to do, for metrics and health."""

    requests: int
    """That wait or are worked on."""
    tokens: int
    """Of the work that is left."""
    tokens_per_second: float
    """Of the last micro-batches; 0 before the second."""
    micro_batches: int
    """Since it was opened, and so the following."""
    pairs: int
    dropped: int
    """Requests whose client had left."""
    late: int
    refused: int


class Searcher:
    """An index and the model that it was made by. Any number of threads may ask; one of its own runs the model.

    `submit` waits for nothing but the database, where a request names items. Its future is cancelled
    (`Future.cancel`) when a client leaves, which drops what is left of its work; with asyncio, `asyncio.wrap_future`
    does that by itself. What a future raises: `Late`, `Closing`, a ValueError of the request's, or what went wrong.
    """

    def __init__(
        self, index: Index, encoder: Encoder, tokenizer: Tokenizer, options: Options, of: dict[str, Any]
    ) -> None:
        """of: what `info` says of the model."""
        self.index, self.options = index, options
        self._encoder, self._of, self._closed = encoder, of, False
        budget = options.token_budget or budget_of(encoder.device)
        self._line = Line(options.queued_tokens or MICRO_BATCHES_WAITING * budget, options.queued_seconds)
        self._budget = budget
        self._regions = RegionReader(index.truth)
        intake = Intake(tokenizer, index.about, options, of["longest"])
        self._plans = Plans(index, encoder, tokenizer, options, intake, self._regions)
        teams.give_back()  # of the thread that loaded the model: it would slow down the one that runs it
        self._worker = Worker(encoder, self._line, budget, self._read)

    @classmethod
    def open(
        cls,
        index: Path,
        model: Path,
        options: Options = Options(),  # noqa: B008 (frozen)
        device: str | None = None,
    ) -> Self:
        """ValueError where the index was made by another model. device: None, a GPU where there is one."""
        opened = Index.open(index, mark_of(model))
        try:
            precision = opened.about["precision"] if options.precision == "auto" else options.precision
            encoder, precision = encoder_for(model, precision, device)
            if precision != opened.about["precision"]:
                raise ValueError(
                    f"{index}: its rows are in {opened.about['precision']}, and {precision} is asked for; build it "
                    "anew with --precision, or leave precision out"
                )
            longest = encoder.model.config.max_position_embeddings
            of = {"path": str(model), "sha256": opened.about["model"], "precision": precision}
            of |= {"device": str(encoder.device), "longest": min(longest, opened.about["max_text_tokens"])}
            return cls(opened, encoder, load_tokenizer(model), options, of)
        except BaseException:
            opened.close()
            raise

    @property
    def way(self) -> Way:
        """How candidates are found, with the index as it stands."""
        return self._plans.way

    @property
    def notice(self) -> str | None:
        """What users should be told of that way, of a model without distilled heads."""
        if self._encoder.vectors_from == "distilled":
            return None
        items, remedy = (
            f"{len(self.index):,} items",
            "`interbert distill` gives this model vectors that learnt to",
        )
        if len(self.index) <= self.options.exhaustive:
            return f"the model has no distilled heads: each of {items} is scored for every query; {remedy}"
        return (
            f"the model has no distilled heads: of {items} candidates are found by the product of its streams run "
            f"alone, which was never trained to find any; {remedy}"
        )

    def warm(self) -> None:
        """One request of each kind through the model: what is compiled or read at first use is there then."""
        if self._encoder.vectors_from is not None:
            self.submit(Embed(texts=("warm",))).result()
        if len(self.index):
            row = next(iter(self.index.rows(self.index.truth.numbers()[:1].tolist()).values()))
            self.submit(Search(texts=("warm",), k=1)).result()
            self.submit(Rerank("warm", (row.id,))).result()

    @overload
    def submit(self, request: Search) -> Future[Found]:
        """Items that fit."""

    @overload
    def submit(self, request: Recommend) -> Future[Recommended]:
        """Items of a topic that are worth showing together."""

    @overload
    def submit(self, request: Rerank) -> Future[Ranked]:
        """How well these items fit."""

    @overload
    def submit(self, request: Embed) -> Future[Embedded]:
        """Vectors of the first stage."""

    @overload
    def submit(self, request: Put) -> Future[Placed]:
        """Items added."""

    def submit(self, request: Any) -> Future[Any]:
        """Raises at once: `Busy`, `Closing`, and ValueErrors of the request (`TooMuch`, `NoSuchItem`, other)."""
        self._line.must_have_room()
        job = self._plans.of(request)
        self._line.join(job)
        return job.future

    def check(self, request: Any) -> None:
        """Raises what `submit` says is wrong with the request, and does nothing."""
        self._plans.of(request)

    def remove(self, ids: Sequence[str]) -> Placed:
        """Gone from the next search on, and from the disk. Blocks for a write. Unknown ids are passed over."""
        return Placed(*self.index.remove(ids))

    def item(self, item_id: str) -> dict[str, Any]:
        """{"id", "title", "attributes", "number", "regions"}; `NoSuchItem`."""
        row = self._plans.row_of(item_id)
        told = {"id": row.id, "title": row.title, "attributes": dict(row.attributes), "number": row.number}
        return told | {"regions": self._regions.of(row.number)}

    def look(self, item_id: str) -> Look | None:
        """For a page that shows it; None where its regions cannot be had any more. `NoSuchItem`."""
        return self._regions.look(self._plans.row_of(item_id), self.index.about["max_regions"])

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        """float32 [numbers, width] of the first stage, by `Hit.number`: for diversity. Rows of items that have gone
        since are zeros."""
        return self.index.vectors(numbers)

    @property
    def alive(self) -> bool:
        """Its thread runs."""
        return self._worker.alive

    @property
    def items(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Of vectors; 0 where there are none."""
        return self.index.width

    @property
    def load(self) -> Load:
        line, worker = self._line, self._worker
        return Load(
            len(line),
            line.tokens,
            line.speed,
            worker.micro_batches,
            worker.pairs,
            line.dropped,
            line.late,
            line.refused,
        )

    def info(self) -> dict[str, Any]:
        """{"model": {"path", "sha256", "precision", "device"}, "index": {"path", "items", "sequence", "width",
        "kind", "recall"}, "way", "notice", "limits"}."""
        index = self.index
        limits = {"token_budget": self._budget, "max_text_tokens": self._of["longest"]}
        limits |= {
            name: getattr(self.options, name) for name in ("candidates", "most_candidates", "max_texts")
        }
        return {
            "model": {name: value for name, value in self._of.items() if name != "longest"},
            "index": {
                "path": str(index.path),
                "items": len(index),
                "sequence": index.sequence,
                "width": index.width,
                "kind": index.kind,
                "recall": index.recall,
            },
            "way": self.way,
            "notice": self.notice,
            "limits": limits,
        }

    def close(self, drain: float = 0.0) -> None:
        """Takes nothing more on; waits so many seconds for what is under way, fails the rest with `Closing`, leaves a
        snapshot, and ends its threads. Once is enough."""
        if self._closed:
            return
        self._closed = True
        self._line.close(drain)
        self._worker.join()
        self._regions.close()
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Within

    def _read(self, stored: list[Stored]) -> Tensor:
        return self.index.tokens.read([(one.at, one.tokens) for one in stored])
