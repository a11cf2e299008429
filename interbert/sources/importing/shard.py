"""One store that rows are written to, several at a time; those that are no good are told of and counted."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from interbert.sources.captions.matched import joined
from interbert.sources.features.fields.choices import BACKGROUND
from interbert.sources.importing import side_by_side
from interbert.sources.importing.read_ahead import ReadAhead
from interbert.sources.record import ROWS, ImageRecord, ImportFault, Source, is_even
from interbert.store.format import ANY_ATTRIBUTES
from interbert.store.known_names import KnownNames
from interbert.store.rows import REMEDY
from interbert.store.writer import StoreWriter

_TOGETHER = 8
"""Rows that are stored at once, which takes a third of the time that one by one does."""
_MOST_BYTES = 8 << 20
"""Or so many bytes of them."""


@dataclass(frozen=True)
class Wishes:
    output: Path
    """A store (FILE.h5), or a folder of shards."""
    shard_bytes: int
    classes: int
    """Of hard labels; distributions tell it themselves."""
    source: str
    """Where the data is said to come from."""
    skip_bad: int = 0
    """How many bad rows (of each rank's) are left out before it stops."""
    features_of: str | None = None
    """The detector or encoder, where it is known."""
    work: str = "importing"
    rows: str = "rows"
    """What the work and its rows are called while it goes on."""
    read_ahead: bool = False
    """Whether a thread reads rows while those before them are stored."""
    class_names: tuple[str, ...] | None = None
    """Of the detector, where the user has them; else the source's."""
    attribute_names: tuple[str, ...] | None = None


class Shard:
    """Use as a context manager: nothing is left of a shard that was not closed."""

    def __init__(
        self, path: Path, source: Source | ReadAhead, seen: KnownNames, wishes: Wishes, bad: list[str]
    ) -> None:
        """seen: ids that were imported before, which this brings up to date. bad: rows that were no good so far."""
        self.path, self.bad = path, bad
        self.counted: Counter[str] = Counter()
        self._source, self._seen, self._wishes = source, seen, wishes
        self._store: StoreWriter | None = None
        self._waiting: list[tuple[int, ImageRecord, list[str]]] = []
        self._stored_bytes = self._waiting_bytes = 0

    @property
    def bytes(self) -> int:
        """Of features and class distributions, those that wait to be stored too."""
        return self._stored_bytes + self._waiting_bytes

    def add(self, number: int, record: ImageRecord, captions: list[str]) -> None:
        """Row `number`; captions: of files."""
        name = _encoded(record)
        if any(name == _encoded(other) for _, other, _ in self._waiting):
            self.settle()
        if name in self._seen:
            fault = ImportFault(f"image id {record.image_id!r} came before; leave one of them out")
            self.refuse(number, fault)
            return
        self._waiting.append((number, record, captions))
        self._waiting_bytes += _bytes(record)
        if len(self._waiting) >= _TOGETHER or self._waiting_bytes >= _MOST_BYTES:
            self.settle()

    def refuse(self, number: int, error: ValueError) -> None:
        """The row is no good; ImportFault where there are too many of those."""
        self.settle()  # so that they are told of in order
        self._refuse(number, error)

    def settle(self) -> None:
        """Store what waits."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        try:
            first = self._store_alike([record for _, record, _ in waiting])
        except ValueError:
            self._forget_if_empty()
            for one in waiting:
                self._settle_one(*one)
            return
        for image, (_, record, captions) in enumerate(waiting, start=first):
            self._count(image, record, captions)

    def close(self) -> bool:
        """Whether there is a store now."""
        self.settle()
        if self._store is None or not self._store.images:
            return False
        self._store.close()
        self._store = None
        return True

    def __enter__(self) -> "Shard":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._forget()

    def _settle_one(self, number: int, record: ImageRecord, captions: list[str]) -> None:
        try:
            image = self._store_alike([record])
        except ValueError as error:
            self._refuse(number, error)
            self._forget_if_empty()
        else:
            self._count(image, record, captions)

    def _store_alike(self, records: list[ImageRecord]) -> int:
        """The first one's number in the store; ValueError, and nothing is stored, where one is no good or unlike."""
        if not records:
            return 0
        if self._store is None:
            self._store = _open(self.path, records[0], self._wishes, self._source)
        if len(records) > 1 and not all(map(is_even, records)):
            raise ImportFault("what one lacks must not be made up by another")
        rows = {name: _joined([getattr(record, name) for record in records]) for name in ROWS}
        if rows["labels_N"] is None:
            rows["confidence_N"] = None  # it was of use for the regions' order alone
        sizes = [(record.width, record.height) for record in records]
        counts = [len(record.boxes_N4) for record in records]
        return self._store.add_images([record.image_id for record in records], sizes, counts, *rows.values())

    def _count(self, image: int, record: ImageRecord, captions: list[str]) -> None:
        self._seen.add(_encoded(record))
        texts, again = joined(record.captions, captions)
        self._store.add_captions(image, texts)
        self._stored_bytes += _bytes(record)
        self.counted["images"] += 1
        self.counted["captions"] += len(texts)
        self.counted["captions_again"] += again
        self.counted["without_captions"] += not texts
        self.counted["without_size"] += not record.width

    def _refuse(self, number: int, error: ValueError) -> None:
        self.bad.append(_fault(self._source, number, error, self._store))
        if len(self.bad) > self._wishes.skip_bad:
            raise ImportFault(_stopped(self.bad, self._wishes)) from None

    def _forget_if_empty(self) -> None:
        """A bad row does not say what the others are like."""
        if self._store is not None and not self._store.images:
            self._forget()

    def _forget(self) -> None:
        if self._store is not None:
            self._store.__exit__(ImportFault)
            self._store = None


def _encoded(record: ImageRecord) -> bytes:
    return record.image_id.encode("utf-8", "surrogatepass")


def _bytes(record: ImageRecord) -> int:
    return sum(
        2 * values.size for values in (record.features_ND, record.class_probs_NK) if values is not None
    )


def _joined(values: list[np.ndarray | None]) -> np.ndarray | None:
    if len(values) == 1 or all(value is None for value in values):
        return values[0]
    if any(value is None for value in values):
        raise ImportFault("some rows have what others lack")
    return side_by_side.joined(values)


def _open(path: Path, record: ImageRecord, wishes: Wishes, source: Source) -> StoreWriter:
    """A store for rows like this one."""
    class_names = list(wishes.class_names or source.class_names or ()) or None
    attribute_names = list(wishes.attribute_names or source.attribute_names or ()) or None
    evidence, classes = None, 0
    if record.class_probs_NK is not None:
        evidence, classes = "class_probs", record.class_probs_NK.shape[1]
    elif record.labels_N is not None:
        evidence, classes = "labels", len(class_names or ()) or wishes.classes
    if class_names is not None and len(class_names) == classes - 1:
        class_names = [BACKGROUND, *class_names]
    attributes = 0 if record.attributes_N is None else len(attribute_names or ()) or ANY_ATTRIBUTES
    return StoreWriter(
        path,
        record.features_ND.shape[1],
        classes=classes,
        evidence=evidence,
        source=wishes.source,
        class_names=class_names if classes else None,
        features_of=wishes.features_of,
        attributes=attributes,
        attribute_names=attribute_names if attributes else None,
    )


def _fault(source: Source, number: int, error: ValueError, store: StoreWriter | None) -> str:
    name = source.name(number)
    told = str(error).removeprefix(f"{store.path}: ") if store is not None else str(error)
    told = told.removesuffix(REMEDY)  # it is told how to go on with it
    return f"{source.where(number)}{f', image {name!r}' if name else ''}: {told}"


def _stopped(bad: list[str], wishes: Wishes) -> str:
    if wishes.skip_bad == 0:
        return f"{bad[-1]}; correct it, or give --skip-bad MAX to leave up to MAX such rows out"
    return f"{len(bad)} bad rows, more than --skip-bad {wishes.skip_bad}; the last one: {bad[-1]}"
