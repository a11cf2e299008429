"""Several searchers as one, each with a share of the items: asked at once, merged at the door.

They may be in this process or in others (`interbert/serve/ray.py`): whatever takes a `Call` can be one.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from interbert.search.index.split import shard_of
from interbert.search.looks import Look
from interbert.search.plans import pool_of, shown
from interbert.search.requests import (
    Busy,
    Embed,
    Found,
    Hit,
    Options,
    Placed,
    Put,
    Ranked,
    Recommend,
    Recommended,
    Rerank,
    Search,
)
from interbert.search.searcher import Load, Searcher

Call = Callable[..., Future[Any]]
"""(name of what a `Searcher` has, what it is given): the answer; of `submit`, that to the request."""
THREADS, WAITING = 64, 256
"""That wait for shards: as many requests are under way at a time; and how many more may wait for one of them."""
AGAIN = 1.0
"""Seconds after which one that was not taken on may come again."""


def called(searcher: Searcher) -> Call:
    """One in this process."""

    def call(name: str, *given: Any) -> Future[Any]:
        if name == "submit":
            return searcher.submit(*given)
        future: Future[Any] = Future()
        found = getattr(searcher, name)
        future.set_result(found(*given) if callable(found) else found)
        return future

    return call


class Shards:
    """As a `Searcher` is asked, so are they. An item is where `shard_of` its id says; a request that one of them
    cannot answer is not answered in part. But a put that one of them refuses for want of room may be done by others,
    and can be sent again."""

    def __init__(self, shards: Sequence[Call], options: Options = Options()) -> None:  # noqa: B008 (frozen)
        self._shards, self._options = list(shards), options
        self._pool = ThreadPoolExecutor(THREADS, "shards")
        self._room = threading.Semaphore(THREADS + WAITING)
        self._turn = 0

    def submit(self, request: Any) -> Future[Any]:
        """`Busy` at once where too many wait; all else its future raises."""
        makes: dict[type, Callable[[Any, list[Future[Any]]], Any]] = {
            Search: self._search,
            Recommend: self._recommend,
            Rerank: self._rerank,
            Embed: self._embed,
            Put: self._put,
        }
        future: Future[Any] = Future()
        under_way: list[Future[Any]] = []

        def leave(done: Future[Any]) -> None:
            if done.cancelled():
                for one in under_way:
                    one.cancel()

        def work() -> None:
            try:
                if not future.cancelled():
                    answer = makes[type(request)](request, under_way)
                    if not future.cancelled():
                        future.set_result(answer)
            except BaseException as error:
                for one in under_way:
                    one.cancel()
                if not future.done():
                    future.set_exception(error)
            finally:
                self._room.release()

        if not self._room.acquire(blocking=False):
            raise Busy(AGAIN)
        future.add_done_callback(leave)
        self._pool.submit(work)
        return future

    def remove(self, ids: Sequence[str]) -> Placed:
        placed = self._each(lambda some: ("remove", some), self._by_shard(ids), [])
        return Placed(self.sequence, sum(one.count for one in placed.values()))

    def item(self, item_id: str) -> dict[str, Any]:
        return self._shard(item_id)("item", item_id).result()

    def look(self, item_id: str) -> Look | None:
        return self._shard(item_id)("look", item_id).result()

    @property
    def alive(self) -> bool:
        """Of all of them: no request is answered in part."""
        return all(self._all("alive"))

    @property
    def sequence(self) -> int:
        """Changes of all of them."""
        return sum(told["index"]["sequence"] for told in self._all("info"))

    @property
    def items(self) -> int:
        return sum(told["index"]["items"] for told in self._all("info"))

    @property
    def width(self) -> int:
        return self._shards[0]("info").result()["index"]["width"]

    @property
    def notice(self) -> str | None:
        return self._shards[0]("info").result()["notice"]

    @property
    def load(self) -> Load:
        loads = [asdict(load) for load in self._all("load")]
        return Load(**{name: sum(load[name] for load in loads) for name in loads[0]})

    def info(self) -> dict[str, Any]:
        """As of the first, with the items of all."""
        told = self._all("info")
        whole = {"items": sum(one["index"]["items"] for one in told), "shards": len(told)}
        whole |= {"sequence": sum(one["index"]["sequence"] for one in told)}
        return told[0] | {"index": told[0]["index"] | whole}

    def warm(self) -> None:
        self._all("warm")

    def close(self, drain: float = 0.0) -> None:
        self._all("close", drain)
        self._pool.shutdown()

    # What each request becomes

    def _search(self, asked: Search, under_way: list[Future[Any]]) -> Found:
        return _merged(self._asked_all(asked, under_way), asked.k)

    def _recommend(self, asked: Recommend, under_way: list[Future[Any]]) -> Recommended:
        count = pool_of(asked, self._options, self.width if asked.diversity else 0)
        # Each by fit alone; they are chosen from when all are here.
        fit = replace(asked, k=count, candidates=count, diversity=0.0, cap=None)
        found = _merged([one.found for one in self._asked_all(fit, under_way)], count)
        vectors_CW = self._vectors(found.hits, under_way) if found.hits else np.zeros((0, 1))
        places, apart = shown(
            asked, [hit.score for hit in found.hits], [hit.attributes for hit in found.hits], vectors_CW
        )
        return Recommended(replace(found, hits=tuple(found.hits[place] for place in places)), apart)

    def _vectors(self, hits: Sequence[Hit], under_way: list[Future[Any]]) -> np.ndarray:
        """float32 [hits, W]"""
        places = self._by_shard([hit.id for hit in hits], range(len(hits)))
        numbers = {shard: [hits[place].number for place in some] for shard, some in places.items()}
        found = self._each(lambda some: ("vectors", some), numbers, under_way)
        vectors = np.zeros((len(hits), next(iter(found.values())).shape[1]), np.float32)
        for shard, some in places.items():
            vectors[some] = found[shard]
        return vectors

    def _rerank(self, asked: Rerank, under_way: list[Future[Any]]) -> Ranked:
        places: dict[int, list[int]] = defaultdict(list)
        for place, item in enumerate(asked.items):  # what is brought along, to all of them in turn
            shard = shard_of(item, len(self._shards)) if isinstance(item, str) else place % len(self._shards)
            places[shard].append(place)
        if not places:
            places[0] = []  # which says what is wrong
        parts = {
            shard: replace(asked, items=tuple(asked.items[place] for place in some))
            for shard, some in places.items()
        }
        found = self._each(lambda part: ("submit", part), parts, under_way)
        scores = [0.0] * len(asked.items)
        for shard, some in places.items():
            for place, score in zip(some, found[shard].scores, strict=True):
                scores[place] = score
        tokens = sum(one.tokens for one in found.values())
        return Ranked(tuple(scores), tokens, _slowest([one.seconds for one in found.values()]))

    def _embed(self, asked: Embed, under_way: list[Future[Any]]) -> Any:
        self._turn = (self._turn + 1) % len(self._shards)
        return self._each(lambda part: ("submit", part), {self._turn: asked}, under_way)[self._turn]

    def _put(self, asked: Put, under_way: list[Future[Any]]) -> Placed:
        by_id = self._by_shard([item.id for item in asked.items], asked.items)
        parts = {shard: replace(asked, items=tuple(items)) for shard, items in by_id.items()}
        if len(parts) > 1:  # what is wrong with one of them is said before any of them is put
            self._each(lambda part: ("check", part), parts, under_way)
        placed = self._each(lambda part: ("submit", part), parts or {0: asked}, under_way)
        return Placed(self.sequence, sum(one.count for one in placed.values()))

    # Within

    def _shard(self, item_id: str) -> Call:
        return self._shards[shard_of(item_id, len(self._shards))]

    def _by_shard(self, ids: Sequence[str], values: Sequence[Any] | None = None) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for id_, value in zip(ids, ids if values is None else values, strict=True):
            found[shard_of(id_, len(self._shards))].append(value)
        return dict(found)

    def _all(self, name: str, *given: Any) -> list[Any]:
        return [future.result() for future in [shard(name, *given) for shard in self._shards]]

    def _asked_all(self, request: Any, under_way: list[Future[Any]]) -> list[Any]:
        answers = self._each(
            lambda _: ("submit", request), dict.fromkeys(range(len(self._shards))), under_way
        )
        return list(answers.values())

    def _each(
        self, call: Callable[[Any], tuple[Any, ...]], parts: dict[int, Any], under_way: list[Future[Any]]
    ) -> dict[int, Any]:
        """The answers of these shards, which work at the same time."""
        futures = {}
        for shard, part in parts.items():
            futures[shard] = self._shards[shard](*call(part))
            under_way.append(futures[shard])
        return {shard: future.result() for shard, future in futures.items()}


def _merged(parts: Sequence[Found], k: int) -> Found:
    hits = sorted((hit for part in parts for hit in part.hits), key=lambda hit: -hit.score)
    return Found(
        tuple(hits[:k]),
        parts[0].way,
        sum(part.reranked for part in parts),
        sum(part.sequence for part in parts),
        _slowest([part.seconds for part in parts]),
    )


def _slowest(seconds: Sequence[Any]) -> dict[str, float]:
    return {name: max(one[name] for one in seconds) for name in seconds[0]}
