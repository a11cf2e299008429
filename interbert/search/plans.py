"""What each request becomes: a job that says what is encoded, what is scored, and what is made of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.search.diverse import chosen, unlikeness
from interbert.search.encoder import Encoder
from interbert.search.engine.jobs import Candidate, Job, Pairs, Stored
from interbert.search.explain import explain
from interbert.search.index.index import Addition, Index
from interbert.search.index.truth import Row
from interbert.search.intake import Intake, counted
from interbert.search.regions import RegionReader
from interbert.search.requests import (
    Embed,
    Embedded,
    Explanation,
    Found,
    Hit,
    Late,
    NoSuchItem,
    Options,
    Placed,
    Put,
    Ranked,
    Recommend,
    Recommended,
    Rerank,
    Search,
    TooMuch,
    Way,
)
from interbert.tokenizer import Tokenizer

EXPLAINED = 20
"""Most hits of an answer of which it is said where their words look."""
MANY = 1000
"""Items that are not wanted, beyond which the search for others may take long."""
POOL = 4
"""Times `k`: candidates of a recommendation, so that there is something to choose from."""


@dataclass(frozen=True)
class Plans:
    """Made in the threads of those who ask: what the database has to be asked for a request is asked there, so that
    the model's thread waits for nothing of the kind."""

    index: Index
    encoder: Encoder
    tokenizer: Tokenizer
    options: Options
    intake: Intake
    regions: RegionReader

    @property
    def way(self) -> Way:
        """How candidates are found, with the index as it stands."""
        if self.encoder.vectors_from == "distilled":
            return "distilled"
        few = len(self.index) <= self.options.exhaustive
        return "exhaustive" if few or self.encoder.vectors_from is None else "product"

    def of(self, request: Any) -> Job:
        makes: dict[type, Callable[[Any], Job]] = {
            Search: self._search,
            Recommend: self._recommend,
            Rerank: self._rerank,
            Embed: self._embed,
            Put: self._put,
        }
        return makes[type(request)](request)

    def row_of(self, item_id: str) -> Row:
        number = self.index.truth.number_of(item_id)
        row = None if number is None else self.index.rows([number]).get(number)
        if row is None:
            raise NoSuchItem(f"no item {item_id!r} in this index")
        return row

    def _search(self, asked: Search) -> Job:
        k = self.intake.count("k", asked.k)
        asked_for = self.options.candidates if asked.candidates is None else asked.candidates
        count = max(k, self.intake.count("candidates", asked_for))

        def finish(job: Job, scored: list[Scored], way: Way) -> Found:
            ids = job.texts[0] if asked.explain else None
            began = time.monotonic()
            hits = tuple(
                self._hit(
                    one, self._explained(job, one.row, ids) if ids is not None and n < EXPLAINED else None
                )
                for n, one in enumerate(scored[:k])
            )
            job.spent["model"] += time.monotonic() - began if asked.explain else 0.0
            return self._found(job, hits, way)

        return self._finding(asked, count if asked.rerank else k, asked.rerank, finish)

    def _recommend(self, asked: Recommend) -> Job:
        count = pool_of(asked, self.options, self.index.width)

        def finish(job: Job, scored: list[Scored], way: Way) -> Recommended:
            vectors_CW = self.index.vectors([one.row.number for one in scored])
            scores, attributes = [one.score for one in scored], [one.row.attributes for one in scored]
            places, apart = shown(asked, scores, attributes, vectors_CW)
            hits = tuple(self._hit(scored[place]) for place in places)
            return Recommended(self._found(job, hits, way), apart)

        return self._finding(asked, count, True, finish)

    def _finding(
        self,
        asked: Search | Recommend,
        count: int,
        rerank: bool,
        finish: Callable[[Job, list[Scored], Way], Any],
    ) -> Job:
        """Candidates of the first stage, and what the whole model says of them: best first, handed to `finish`."""
        ids = self.intake.texts(asked.texts)
        wanted, exclude = self.intake.filter(asked.filter), self.intake.excluded(asked.exclude)
        way, whole = self.way, len(self.index)
        if way == "exhaustive" and whole > self.options.exhaustive:
            raise TooMuch(
                f"the model has no vectors of texts and images alone, and {whole:,} items are more than the "
                f"{self.options.exhaustive:,} that are scored one by one; `interbert distill` gives it some"
            )
        pairs = whole if way == "exhaustive" else min(count, whole) if rerank else 0
        self._must_be_few(len(ids), pairs)
        truth = self.index.truth
        without = frozenset(truth.numbers_of(exclude))
        first: dict[int, float] = {}
        rows: dict[int, Row] = {}
        order: list[int] = []

        def then(job: Job) -> Pairs | None:
            try:
                among = truth.filtered(wanted, job.over) if wanted else None
                if way == "exhaustive":
                    everything = truth.numbers() if among is None else among
                    numbers = [number for number in everything.tolist() if number not in without]
                else:
                    query_1W = np.mean(job.text_vectors, axis=0)[None]
                    found, products = self.index.search(query_1W, count, among, without, job.over)
                    numbers = found[0]
                    first.update(zip(numbers, products[0], strict=True))
            except TimeoutError:
                raise Late("the deadline passed while candidates were sought") from None
            rows.update(self.index.rows(numbers))
            order.extend(number for number in numbers if number in rows)
            if not rows or not (rerank or way == "exhaustive"):
                return None
            return Pairs(job.text_sides, [_stored(rows[number]) for number in order])

        def done(job: Job) -> Any:
            if job.pairs is None:
                scored = [Scored(rows[number], first[number], first[number]) for number in order]
            else:
                odds_C = job.pairs.odds_TC.mean(0)
                scored = [
                    Scored(rows[order[place]], _chance(odds_C[place]), first.get(order[place]))
                    for place in np.argsort(-odds_C, kind="stable").tolist()
                ]
            return finish(job, scored, way)

        cost, seeks = self._cost(ids, pairs), bool(wanted) or len(without) > MANY
        return Job(ids, [], then, done, asked.seconds, cost, vectors=way != "exhaustive", seeks=seeks)

    def _found(self, job: Job, hits: tuple[Hit, ...], way: Way) -> Found:
        reranked = len(job.pairs.odds) if job.pairs is not None else 0
        return Found(hits, way, reranked, self.index.sequence, job.seconds)

    def _hit(self, one: Scored, explanation: Explanation | None = None) -> Hit:
        row = one.row
        return Hit(row.id, one.score, one.first, row.title, row.attributes, row.number, explanation)

    def _explained(self, job: Job, row: Row, ids: np.ndarray) -> Explanation | None:
        if job.over():  # twenty of them take as long as many a request
            raise Late("the deadline passed before all was explained")
        regions = self.regions.of(row.number)
        if regions is None:
            return None
        return explain(
            self.encoder.model, self.tokenizer, ids, self.intake.image(regions, f"item {row.id!r}")
        )

    def _rerank(self, asked: Rerank) -> Job:
        ids = self.intake.texts((asked.text,))
        if not asked.items:
            raise ValueError("no items are given: nothing to rank")
        self.intake.count("the number of items", len(asked.items))
        stored = {number: self.row_of(one) for number, one in enumerate(asked.items) if isinstance(one, str)}
        brought = [
            self.intake.image(one, f"item {number}")
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
        return Job(ids, brought, then, finish, asked.seconds, cost, vectors=False)

    def _embed(self, asked: Embed) -> Job:
        if self.encoder.vectors_from is None:
            raise ValueError(
                "the model has no vectors of texts or images alone; `interbert distill` gives it some"
            )
        if bool(asked.texts) == bool(asked.images):
            raise ValueError("give texts, or images")
        self.intake.count("the number of texts and images", len(asked.texts) + len(asked.images))
        ids = [one for text in asked.texts for one in self.intake.texts((text,))]
        images = [self.intake.image(one, f"image {number}") for number, one in enumerate(asked.images)]
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
        self.intake.count("the number of items", len(asked.items))
        ids = [item.id for item in asked.items]
        if len(set(ids)) < len(ids):
            raise ValueError(f"item {next(i for i in ids if ids.count(i) > 1)!r} comes twice; give each once")
        images = [self.intake.item(item) for item in asked.items]

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
        return Job([], images, lambda _: None, finish, asked.seconds, tokens, writes=True)

    def _must_be_few(self, texts: int, candidates: int) -> None:
        if texts * candidates > self.options.most_pairs:
            raise TooMuch(
                f"{texts} texts, each against {candidates:,} candidates, are {texts * candidates:,} pairs, and "
                f"{self.options.most_pairs:,} are scored for one request; send fewer texts, or fewer candidates"
            )

    def _cost(self, ids: Sequence[np.ndarray], pairs: int) -> int:
        """Tokens that a search will be, about."""
        text = sum(map(len, ids))
        mean = max(1, round(self.index.tokens.end / max(1, self.index.sequence)))
        return text + pairs * (text + len(ids) * mean)


def pool_of(asked: Recommend, options: Options, width: int) -> int:
    """Of how many candidates it is chosen; ValueError where it cannot be. width: of vectors; 0, there are none."""
    k, pool = counted("k", asked.k, options), asked.candidates
    if pool is None:
        pool = min(options.most_candidates, max(options.candidates, POOL * k))
    if not 0 <= asked.diversity <= 1:
        raise ValueError(
            f"diversity is {asked.diversity}; it goes from 0 (fit alone) to 1 (difference alone)"
        )
    if asked.cap is not None and asked.cap < 1:
        raise ValueError(f"cap is {asked.cap}; it must be 1 or more, or left out")
    if asked.diversity and not width:
        raise ValueError(
            "the model has no vectors by which items are alike; send diversity 0, or give it some by "
            "`interbert distill`"
        )
    return max(k, counted("candidates", pool, options))


def shown(
    asked: Recommend, scores: Sequence[float], attributes: Sequence[Mapping[str, Any]], vectors_CW: np.ndarray
) -> tuple[list[int], float | None]:
    """Places of candidates, in the order in which they are shown, and how unlike these are."""
    groups = [one.get(asked.cap_by) for one in attributes]
    places = chosen(np.array(scores), vectors_CW, asked.k, asked.diversity, groups, asked.cap)
    return places, unlikeness(vectors_CW[places]) if vectors_CW.shape[1] else None


@dataclass(frozen=True)
class Scored:
    """A candidate: what is said of it in the end, and what the first stage said."""

    row: Row
    score: float
    first: float | None


def _stored(row: Row) -> Stored:
    return Stored(row.number, row.tokens_at, row.tokens)


def _chance(odds: float) -> float:
    """Of log-odds."""
    return float(1 / (1 + np.exp(-np.clip(odds, -700, 700))))
