"""Two stages, one line: requests of all clients meet here, and leave as packed micro-batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from torch import Tensor

from interbert.search.encoder import Encoder, budget_of
from interbert.search.engine.jobs import Candidate, Job, Pairs, Stored
from interbert.search.engine.line import Line
from interbert.search.engine.worker import Worker
from interbert.search.explain import explain
from interbert.search.index.build import encoder_for
from interbert.search.index.index import Addition, Index
from interbert.search.index.truth import Row
from interbert.search.intake import Intake
from interbert.search.looks import Look
from interbert.search.mark import mark_of
from interbert.search.regions import RegionReader
from interbert.search.requests import (
    Embed,
    Embedded,
    Explanation,
    Found,
    Hit,
    NoSuchItem,
    Options,
    Placed,
    Put,
    Ranked,
    Rerank,
    Search,
    TooMuch,
    Way,
)
from interbert.tokenizer import Tokenizer, load_tokenizer

MICRO_BATCHES_WAITING = 16
EXPLAINED = 20
"""Most hits of an answer of which it is said where their words look."""


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
    """An index and the model that it was made by. Any number of threads may ask; one of its own runs the model.

    `submit` never blocks. Its future is cancelled (`Future.cancel`) when a client leaves, which drops what is left of
    its work; with asyncio, `asyncio.wrap_future` does that by itself. What a future raises: `Late`, `Closing`, a
    ValueError of the request's, or what went wrong.
    """

    def __init__(
        self, index: Index, encoder: Encoder, tokenizer: Tokenizer, options: Options, of: dict[str, Any]
    ) -> None:
        """of: what `info` says of the model."""
        self.index, self.options = index, options
        self._encoder, self._tokenizer, self._of = encoder, tokenizer, of
        budget = options.token_budget or budget_of(encoder.device)
        self._line = Line(options.queued_tokens or MICRO_BATCHES_WAITING * budget, options.queued_seconds)
        self._budget = budget
        self._intake = Intake(tokenizer, index.about, options, of["longest"])
        self._regions = RegionReader(index.truth)
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
        if self._encoder.vectors_from == "distilled":
            return "distilled"
        few = len(self.index) <= self.options.exhaustive
        return "exhaustive" if few or self._encoder.vectors_from is None else "product"

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
        make = {Search: self._search, Rerank: self._rerank, Embed: self._embed, Put: self._put}[type(request)]
        job = make(request)
        self._line.join(job)
        return job.future

    def remove(self, ids: Sequence[str]) -> Placed:
        """Gone from the next search on, and from the disk. Blocks for a write. Unknown ids are passed over."""
        return Placed(*self.index.remove(ids))

    def item(self, item_id: str) -> dict[str, Any]:
        """{"id", "title", "attributes", "number", "regions"}; `NoSuchItem`."""
        row = self._row_of(item_id)
        told = {"id": row.id, "title": row.title, "attributes": dict(row.attributes), "number": row.number}
        return told | {"regions": self._regions.of(row.number)}

    def look(self, item_id: str) -> Look | None:
        """For a page that shows it; None where its regions cannot be had any more. `NoSuchItem`."""
        return self._regions.look(self._row_of(item_id), self.index.about["max_regions"])

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        """float32 [numbers, width] of the first stage, by `Hit.number`: for diversity. Rows of items that have gone
        since are zeros."""
        return self.index.vectors(numbers)

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
        snapshot, and ends its threads."""
        self._line.close(drain)
        self._worker.join()
        self._regions.close()
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What each request becomes

    def _search(self, asked: Search) -> Job:
        ids = self._intake.texts(asked.texts)
        k = self._intake.count("k", asked.k)
        count = max(k, self._intake.count("candidates", asked.candidates or self.options.candidates))
        wanted, exclude = self._intake.filter(asked.filter), self._intake.excluded(asked.exclude)
        way, whole = self.way, len(self.index)
        if way == "exhaustive" and whole > self.options.exhaustive:
            raise TooMuch(
                f"the model has no vectors of texts and images alone, and {whole:,} items are more than the "
                f"{self.options.exhaustive:,} that are scored one by one; `interbert distill` gives it some"
            )
        pairs = whole if way == "exhaustive" else min(count, whole) if asked.rerank else 0
        first: dict[int, float] = {}
        rows: dict[int, Row] = {}
        order: list[int] = []

        def then(job: Job) -> Pairs | None:
            numbers = self._candidates(job, way, count if asked.rerank else k, wanted, exclude, first)
            rows.update(self.index.rows(numbers))
            if not rows or not (asked.rerank or way == "exhaustive"):
                return None
            order.extend(number for number in numbers if number in rows)
            return Pairs(job.text_sides, [_stored(rows[number]) for number in order])

        def finish(job: Job) -> Found:
            if job.pairs is None:
                scored = [(number, first.get(number, 0.0)) for number in rows]
                scored.sort(key=lambda pair: -pair[1])
                reranked = 0
            else:
                odds_C = job.pairs.odds_TC.mean(0).tolist()
                scored = sorted(
                    zip(order, map(_chance, odds_C), odds_C, strict=True), key=lambda each: -each[2]
                )
                scored, reranked = [each[:2] for each in scored], len(job.pairs.odds)
            began = time.monotonic()
            hits = tuple(
                self._hit(
                    rows[number], score, first.get(number), ids if asked.explain and place < EXPLAINED else []
                )
                for place, (number, score) in enumerate(scored[:k])
            )
            job.spent["model"] += time.monotonic() - began if asked.explain else 0.0
            return Found(hits, way, reranked, self.index.sequence, job.seconds)

        return Job(ids, [], then, finish, asked.seconds, self._cost(ids, pairs))

    def _candidates(
        self,
        job: Job,
        way: Way,
        count: int,
        wanted: dict[str, Any],
        exclude: frozenset[str],
        first: dict[int, float],
    ) -> list[int]:
        truth = self.index.truth
        among = truth.filtered(wanted) if wanted else None
        without = frozenset(n for n in map(truth.number_of, exclude) if n is not None)
        if way == "exhaustive":
            everything = truth.numbers() if among is None else among
            return [number for number in everything.tolist() if number not in without]
        query_1W = np.mean(job.text_vectors, axis=0)[None]
        numbers, products = self.index.search(query_1W, count, among, without)
        first.update(zip(numbers[0], products[0], strict=True))
        return numbers[0]

    def _hit(self, row: Row, score: float, first: float | None, explained_by: list[np.ndarray]) -> Hit:
        explanation = self._explained(row, explained_by[0]) if explained_by else None
        return Hit(row.id, score, first, row.title, row.attributes, row.number, explanation)

    def _explained(self, row: Row, ids: np.ndarray) -> Explanation | None:
        regions = self._regions.of(row.number)
        if regions is None:
            return None
        return explain(
            self._encoder.model, self._tokenizer, ids, self._intake.image(regions, f"item {row.id!r}")
        )

    def _rerank(self, asked: Rerank) -> Job:
        ids = self._intake.texts((asked.text,))
        if not asked.items:
            raise ValueError("no items are given: nothing to rank")
        self._intake.count("the number of items", len(asked.items))
        stored = {number: self._row_of(one) for number, one in enumerate(asked.items) if isinstance(one, str)}
        brought = [
            self._intake.image(one, f"item {number}")
            for number, one in enumerate(asked.items)
            if not isinstance(one, str)
        ]

        def then(job: Job) -> Pairs:
            own = iter(job.image_rows)
            candidates: list[Candidate] = [
                _stored(row) if (row := stored.get(number)) else next(own)
                for number in range(len(asked.items))
            ]
            return Pairs(job.text_sides, candidates)

        def finish(job: Job) -> Ranked:
            assert job.pairs is not None
            return Ranked(
                tuple(map(_chance, job.pairs.odds.tolist())), int(job.pairs.tokens.sum()), job.seconds
            )

        cost = self._cost(ids, len(asked.items)) + sum(image.tokens for image in brought)
        return Job(ids, brought, then, finish, asked.seconds, cost)

    def _embed(self, asked: Embed) -> Job:
        if self._encoder.vectors_from is None:
            raise ValueError(
                "the model has no vectors of texts or images alone; `interbert distill` gives it some"
            )
        if bool(asked.texts) == bool(asked.images):
            raise ValueError("give texts, or images")
        self._intake.count("the number of texts and images", len(asked.texts) + len(asked.images))
        ids = [one for text in asked.texts for one in self._intake.texts((text,))]
        images = [self._intake.image(one, f"image {number}") for number, one in enumerate(asked.images)]
        tokens = sum(map(len, ids)) + sum(image.tokens for image in images)

        def finish(job: Job) -> Embedded:
            found = job.text_vectors or [
                rows.vector_W for rows in job.image_rows if rows.vector_W is not None
            ]
            return Embedded(np.stack(found), tokens, job.seconds)

        return Job(ids, images, lambda _: None, finish, asked.seconds, tokens)

    def _put(self, asked: Put) -> Job:
        if not asked.items:
            raise ValueError("no items are given: nothing to put")
        self._intake.count("the number of items", len(asked.items))
        ids = [item.id for item in asked.items]
        if len(set(ids)) < len(ids):
            raise ValueError(f"item {next(i for i in ids if ids.count(i) > 1)!r} comes twice; give each once")
        images = [self._intake.item(item) for item in asked.items]

        def finish(job: Job) -> Placed:
            additions = [
                Addition(
                    item.id,
                    rows.rows_SH,
                    rows.vector_W,
                    item.regions.size,
                    features_RD=image.features_RD,
                    boxes_R4=np.asarray(item.regions.boxes)[: len(image.boxes_R5)],
                    title=item.title,
                    attributes=item.attributes,
                )
                for item, image, rows in zip(asked.items, images, job.image_rows, strict=True)
            ]
            return Placed(self.index.put(additions)[0], len(additions))

        tokens = sum(image.tokens for image in images)
        return Job([], images, lambda _: None, finish, asked.seconds, tokens)

    # Within

    def _cost(self, ids: list[np.ndarray], pairs: int) -> int:
        """Tokens that a search will be, about."""
        text = sum(map(len, ids))
        return text + pairs * (text + len(ids) * self._mean_tokens)

    @property
    def _mean_tokens(self) -> int:
        return max(1, round(self.index.tokens.end / max(1, self.index.sequence)))

    def _row_of(self, item_id: str) -> Row:
        number = self.index.truth.number_of(item_id)
        row = None if number is None else self.index.rows([number]).get(number)
        if row is None:
            raise NoSuchItem(f"no item {item_id!r} in this index")
        return row

    def _read(self, stored: list[Stored]) -> Tensor:
        return self.index.tokens.read([(one.at, one.tokens) for one in stored])


def _stored(row: Row) -> Stored:
    return Stored(row.number, row.tokens_at, row.tokens)


def _chance(odds: float) -> float:
    """Of log-odds."""
    return float(1 / (1 + np.exp(-np.clip(odds, -700, 700))))
