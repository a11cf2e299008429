"""An index as several, each with a share of its items: for several machines, or several GPUs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xxhash

from interbert.search.index.index import Addition, Index

AT_A_TIME = 2000
"""Items that are copied at once."""


def shard_of(item_id: str, shards: int) -> int:
    """In which one an item is: the same wherever it is asked."""
    return xxhash.xxh3_64_intdigest(item_id.encode()) % shards


def split(
    source: Index, output: Path, shards: int, copied: Callable[[int], None] = lambda _: None
) -> list[Path]:
    """output/0, output/1, …, of the model that made the source. Nothing is computed anew."""
    paths = [output / str(number) for number in range(shards)]
    with ExitStack() as stack:
        targets = [stack.enter_context(Index.create(path, source.about)) for path in paths]
        stores = [
            {
                number: target.name_store(Path(path), fingerprint)
                for number, (path, fingerprint) in source.truth.stores().items()
            }
            for target in targets
        ]
        numbers = source.truth.numbers().tolist()
        for start in range(0, len(numbers), AT_A_TIME):
            some = numbers[start : start + AT_A_TIME]
            waiting: list[list[Addition]] = [[] for _ in targets]
            rows, vectors = source.rows(some), source.vectors(some)
            for number, vector_W in zip(some, vectors, strict=True):
                shard = shard_of(rows[number].id, shards)
                waiting[shard].append(_addition(source, rows[number], vector_W, stores[shard]))
            for target, additions in zip(targets, waiting, strict=True):
                target.put(additions)
            copied(len(some))
    return paths


def _addition(source: Index, row, vector_W: np.ndarray, stores: dict[int, int]) -> Addition:
    found = source.truth.features(row.number)
    assert found is not None
    features, boxes = None, None
    if found["place"] is None:
        boxes = np.frombuffer(found["boxes"], np.float32).reshape(-1, 4)
        features = np.frombuffer(found["features"], np.float16).reshape(len(boxes), -1)
    return Addition(
        row.id,
        source.tokens.read([(row.tokens_at, row.tokens)]),
        vector_W if source.width else None,
        found["size"],
        None if found["place"] is None else (stores[found["place"][0]], found["place"][1]),
        features,
        boxes,
        row.title,
        row.attributes,
    )
