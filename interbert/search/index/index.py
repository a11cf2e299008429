"""An index: the database that is its truth, the rows that ranking begins with, and the nearest vectors.

A folder with `index.sqlite` (and what SQLite keeps beside it), `tokens.bin`, and of a large index snapshots of its
graph. One process at a time may change it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xxhash
from torch import Tensor

from interbert.search.index import snapshots
from interbert.search.index.narrowed import nearest_of
from interbert.search.index.nearest import EXACT_UP_TO, Exact, Graph, recall_of
from interbert.search.index.tokens import NAME as TOKENS
from interbert.search.index.tokens import TokenFile
from interbert.search.index.truth import NAME as TRUTH
from interbert.search.index.truth import NewItem, Row, Truth

log = logging.getLogger(__name__)

SAMPLE = 200
"""Queries by which a graph's recall is measured, of `RECALL_AT` neighbours each."""
RECALL_AT = 32
SNAPSHOT_EVERY = 20_000
"""Changes after which a graph is written down."""


class OtherModel(ValueError):
    """An index that was made by another model than it is opened with."""


@dataclass(frozen=True)
class Addition:
    """An item as it is brought: what its image is before it meets a text, its vector, and where its regions are."""

    id: str
    rows_SH: Tensor
    vector_W: np.ndarray | None
    size: tuple[int, int]
    place: tuple[int, int] | None = None
    """Number of a store (`name_store`) and of the image in it; or the regions themselves:"""
    features_RD: np.ndarray | None = None
    boxes_R4: np.ndarray | None = None
    title: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Index:
    def __init__(self, path: Path, truth: Truth, tokens: TokenFile, lock: int | None) -> None:
        self.path, self.truth, self.tokens, self._lock = path, truth, tokens, lock
        self._changing = threading.Lock()
        self.about = truth.about
        self.width: int = self.about["width"]
        self.recall: float | None = None
        """Of the graph against looking at all; None where all are looked at."""
        self.sequence = truth.last_number()
        self.nearest: Exact | Graph | None = None
        self._snapshot_at = 0
        self._saving: threading.Thread | None = None

    # Opening

    @classmethod
    def create(cls, path: Path, about: Mapping[str, Any]) -> Self:
        """Empty, where nothing is. about: "model" (its mark), "vectors" (distilled, product, None), "width" of these,
        "hidden" width and "precision" of the rows, "max_regions", "max_text_tokens"."""
        if path.exists() and any(path.iterdir()):
            raise ValueError(f"{path}: there is something already; give another --output, or remove it")
        path.mkdir(parents=True, exist_ok=True)
        Truth.create(path / TRUTH, about).close()
        return cls.open(path)

    @classmethod
    def open(
        cls, path: Path, model: str | None = None, read_only: bool = False, exact_up_to: int = EXACT_UP_TO
    ) -> Self:
        """model: the mark of who will search; another's index is refused. read_only: nothing is derived, and another
        process may be changing it."""
        if not (path / TRUTH).is_file():
            raise ValueError(f"{path}: no {TRUTH} there; `interbert index build` makes an index")
        lock = None if read_only else _locked(path)
        try:
            truth = Truth(path / TRUTH, read_only)
            about = truth.about
            if model is not None:
                _must_be_of(path, about, model)
            end = truth.tokens_end()
            tokens = TokenFile(path / TOKENS, about["hidden"], about["precision"], end, read_only)
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise
        index = cls(path, truth, tokens, lock)
        if not read_only:
            index._derive(exact_up_to)
        return index

    def _derive(self, exact_up_to: int) -> None:
        """What is nearest, from the newest snapshot and what came behind it, or from the truth alone."""
        if not self.width:
            return
        if self.truth.count() <= exact_up_to:
            self.nearest, behind = Exact(self.width), 0
        else:
            graph = Graph(self.width)
            said = snapshots.load(self.path, graph)
            self.nearest, behind = graph if said else Graph(self.width), said["sequence"] if said else 0
            self.recall = said["recall"] if said else None
            self._snapshot_at = behind
            self.nearest.remove(self.truth.removed_behind(behind))
        if isinstance(self.nearest, Graph) and not behind:
            log.info(
                "%s: the graph of %s items is made, which takes minutes", self.path, f"{self.truth.count():,}"
            )
        for numbers_N, data in self.truth.vectors_behind(behind):
            self.nearest.add(numbers_N, np.frombuffer(data, np.float16).reshape(len(numbers_N), self.width))
        if isinstance(self.nearest, Graph) and self.recall is None:
            self.recall = self.measure_recall()
            self.snapshot()

    # Changes

    def must_be_of(self, model: str, where: Path) -> None:
        """model: the mark of the one at `where`."""
        try:
            _must_be_of(self.path, self.about, model)
        except OtherModel as error:
            raise OtherModel(f"{where}: {error}") from None

    def name_store(self, path: Path, fingerprint: str) -> int:
        return self.truth.name_store(path.absolute(), fingerprint)

    def put(self, additions: Sequence[Addition]) -> tuple[int, list[int]]:
        """On the disk when it returns. The number of the last change, and the numbers of these items."""
        if not additions:
            return self.sequence, []
        ids = [one.id for one in additions]
        if len(set(ids)) < len(ids):
            raise ValueError(f"item {next(i for i in ids if ids.count(i) > 1)!r} comes twice; give each once")
        with self._changing:
            at = self.tokens.append(torch.cat([one.rows_SH for one in additions]))
            items = []
            for one in additions:
                vector = None if one.vector_W is None else one.vector_W.astype(np.float16).tobytes()
                items.append(_new_item(one, vector, at))
                at += len(one.rows_SH)
            numbers, replaced = self.truth.put(items)
            if self.nearest is not None:
                self.nearest.remove(np.array(replaced, np.int64))
                vectors_NW = np.frombuffer(b"".join(item.vector or b"" for item in items), np.float16)
                self.nearest.add(np.array(numbers, np.int64), vectors_NW.reshape(len(items), self.width))
            self.sequence = numbers[-1]
        self._snapshot_sometimes()
        return self.sequence, numbers

    def remove(self, ids: Iterable[str]) -> tuple[int, int]:
        """On the disk when it returns. The number of the last change, and how many were there."""
        with self._changing:
            self.sequence, gone = self.truth.remove(ids)
            if self.nearest is not None:
                self.nearest.remove(np.array(gone, np.int64))
        self._snapshot_sometimes()
        return self.sequence, len(gone)

    def snapshot(self) -> None:
        """Of a graph; of what is exact nothing need be kept. Where the disk has no room for one there is none."""
        if not isinstance(self.nearest, Graph):
            return
        with self._changing:
            sequence = self.sequence
            try:
                snapshots.save(self.path, self.nearest, sequence, {"recall": self.recall})
            except (OSError, RuntimeError) as error:  # usearch's own
                log.warning("%s: no snapshot, and so the next opening takes longer: %s", self.path, error)
                return
            finally:
                self._snapshot_at = sequence  # tried again after as many changes
        self.truth.forget_tombstones(sequence)

    def _snapshot_sometimes(self) -> None:
        """Beside what is asked meanwhile."""
        due = self.sequence - self._snapshot_at >= SNAPSHOT_EVERY and isinstance(self.nearest, Graph)
        if due and not (self._saving and self._saving.is_alive()):
            self._saving = threading.Thread(target=self.snapshot, name="search-snapshot")
            self._saving.start()

    # Questions

    def __len__(self) -> int:
        return len(self.nearest) if self.nearest is not None else self.truth.count()

    @property
    def kind(self) -> str:
        return self.nearest.kind if self.nearest is not None else "none"

    def search(
        self,
        queries_QW: np.ndarray,
        count: int,
        among: np.ndarray | None = None,
        without: frozenset[int] = frozenset(),
        over: Callable[[], bool] = lambda: False,
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Of each query the numbers of the nearest items, best first, and their inner products. among: only these
        (sorted); without: none of these. TimeoutError as soon as it is `over`."""
        assert self.nearest is not None, "an index without vectors"
        pairs = [nearest_of(self.nearest, query_W, count, among, without, over) for query_W in queries_QW]
        return [numbers for numbers, _ in pairs], [products for _, products in pairs]

    def vectors(self, numbers: Sequence[int]) -> np.ndarray:
        """float32 [numbers, W]; zeros of what has gone."""
        if self.nearest is not None:
            return self.nearest.vectors(numbers)
        found = self.truth.vectors(numbers)
        result = np.zeros((len(numbers), self.width), np.float32)
        for place, number in enumerate(numbers):
            data = found.get(int(number))
            if data:
                result[place] = np.frombuffer(data, np.float16)
        return result

    def rows(self, numbers: Sequence[int]) -> dict[int, Row]:
        return self.truth.rows(numbers)

    def measure_recall(self, queries_QW: np.ndarray | None = None) -> float:
        """Of `RECALL_AT` neighbours: what is found against what is nearest. Without queries, vectors of items that
        are moved a little."""
        assert self.nearest is not None, "an index without vectors"
        numbers = self.truth.numbers()
        if not len(numbers):
            return 1.0
        exact = Exact(self.width)
        for some, data in self.truth.vectors_behind(0):
            exact.add(some, np.frombuffer(data, np.float16).reshape(len(some), self.width))
        if queries_QW is None:
            rng = np.random.default_rng(0)
            queries_QW = self.vectors(rng.choice(numbers, min(SAMPLE, len(numbers)), replace=False).tolist())
            spread = queries_QW.std() * 0.3
            queries_QW = queries_QW + rng.normal(0, spread, queries_QW.shape).astype(np.float32)
        true_QK, _ = exact.search(queries_QW, RECALL_AT)
        found_QK, _ = self.nearest.search(queries_QW, RECALL_AT)
        return recall_of(found_QK, true_QK)

    def verify(self, say: Callable[[str], None] = lambda _: None) -> list[str]:
        """All that is wrong: of the database, of each item's rows and vector, of snapshots."""
        found = [f"{self.truth.path}: {fault}" for fault in self.truth.faults()]
        if found:
            return found
        began, seen = time.monotonic(), 0
        for number, id_, vector, at, tokens, checksum in self.truth.sums():
            seen += 1
            try:
                fits = checksum_of(self.tokens.read([(at, tokens)]), vector) == checksum
            except OSError as error:
                found.append(f"item {id_!r} ({number}): {error}; put it again")
                continue
            if not fits:
                found.append(
                    f"item {id_!r} ({number}): its rows or its vector changed after writing; put it again"
                )
            elif self.width and not np.isfinite(np.frombuffer(vector or b"", np.float16)).all():
                found.append(f"item {id_!r} ({number}): its vector holds what is no number; put it again")
        say(f"{seen:,} items in {time.monotonic() - began:.1f} s")
        for path, fingerprint in self.truth.stores().values():
            found += _store_faults(Path(path), fingerprint)
        return found + snapshots.faults(self.path)

    def close(self) -> None:
        if self._saving is not None:
            self._saving.join()
        if self.nearest is not None and self._lock is not None and self.sequence > self._snapshot_at:
            self.snapshot()
        self.truth.close()
        self.tokens.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _must_be_of(path: Path, about: Mapping[str, Any], model: str) -> None:
    if about["model"] != model:
        raise OtherModel(
            f"{path}: made by the model {about['model'][:12]} ({about['model_path']}), and opened with {model[:12]}: "
            "vectors of another model mean nothing to it; build an index with this one, or open it with the first"
        )


def checksum_of(rows_SH: Tensor, vector: bytes | None) -> bytes:
    digest = xxhash.xxh3_64(rows_SH.contiguous().view(torch.uint8).numpy().tobytes())
    digest.update(vector or b"")
    return digest.digest()


def _new_item(one: Addition, vector: bytes | None, at: int) -> NewItem:
    return NewItem(
        one.id,
        one.title,
        one.attributes,
        one.place,
        one.features_RD,
        one.boxes_R4,
        one.size,
        vector,
        at,
        len(one.rows_SH),
        checksum_of(one.rows_SH, vector),
    )


def _store_faults(path: Path, fingerprint: str) -> list[str]:
    from interbert.store.store import Store

    try:
        with Store(path) as store:
            if store.earlier_fingerprint != fingerprint:
                return [f"{path}: not the store that items were read from; put its items again"]
    except (OSError, ValueError) as error:
        return [
            f"{path}: regions of items lie there, and it cannot be read ({error}); explanations will lack"
        ]
    return []


def _locked(path: Path) -> int:
    lock = os.open(path / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ValueError(
            f"{path}: another process has this index open; change items through it, or end it first"
        ) from None
    return lock
