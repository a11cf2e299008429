"""What can be asked of a `Searcher`, what it answers, and how it refuses. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from interbert.inference.regions import ImageRegions

Way = Literal["distilled", "product", "exhaustive"]
"""How candidates are found. distilled: by heads that learnt to. product: by the match head's own product of two
pooled vectors, each stream run alone, which nobody trained for this. exhaustive: every item is a candidate."""


@dataclass(frozen=True)
class Search:
    """The items that fit a query best, or a topic: several short texts that mean one thing."""

    texts: tuple[str, ...]
    k: int = 10
    candidates: int | None = None
    """How many the first stage hands on to be ranked again. None: as the searcher's options say; at least k."""
    rerank: bool = True
    """False: the first stage's own order. An exhaustive search has no other than the whole model's."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that items must have: {name: value}, or {name: [one of these values]}."""
    exclude: frozenset[str] = frozenset()
    """Ids that are not wanted."""
    explain: bool = False
    """Say of the first 20 hits which regions the words of the (first) text look at."""
    seconds: float | None = None
    """After which an answer is worth nothing. None: no deadline."""


@dataclass(frozen=True)
class Recommend:
    """Items of a topic that are worth showing together: that fit, and are not all alike."""

    texts: tuple[str, ...]
    k: int = 10
    candidates: int | None = None
    """Of which they are chosen, all ranked by the whole model. None: four times k, and no fewer than the searcher's
    options say."""
    filter: Mapping[str, Any] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    """Ids of what was seen already."""
    diversity: float = 0.3
    """0: the best that fit; 1: the best, and then what is least like those that are shown already."""
    cap: int | None = None
    """Most items with one value of the attribute `cap_by`. None: any number."""
    cap_by: str = "seller"
    seconds: float | None = None


@dataclass(frozen=True)
class Rerank:
    """How well each of these items fits a text."""

    text: str
    items: tuple[str | ImageRegions, ...]
    """Ids of the index, or regions that are brought along."""
    seconds: float | None = None


@dataclass(frozen=True)
class Embed:
    """Vectors of the first stage: of texts, or of images."""

    texts: tuple[str, ...] = ()
    images: tuple[ImageRegions, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Item:
    """Something that is searched for."""

    id: str
    regions: ImageRegions
    title: str = ""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """What filters and caps go by, such as {"seller": "…"}."""


@dataclass(frozen=True)
class Put:
    """Items to be added; one whose id is there takes that one's place."""

    items: tuple[Item, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Explanation:
    """What the words of a text look at in an image."""

    words: tuple[str, ...]
    """The tokens, [CLS] and [SEP] left out."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """x1, y1, x2, y2 of each region, as shares of the image."""
    weights: tuple[tuple[float, ...], ...]
    """[words, regions]: each word's attention, of which what goes to words and to the whole image is left out."""


@dataclass(frozen=True)
class Hit:
    """An item that was found."""

    id: str
    score: float
    """The probability that text and image belong together; without ranking again, the first stage's own score."""
    first_score: float | None
    """What the first stage found; None of an exhaustive search."""
    title: str
    attributes: Mapping[str, Any]
    number: int
    """Of the item in its index: each put has a new one."""
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Found:
    """The answer to `Search`."""

    hits: tuple[Hit, ...]
    """Best first."""
    way: Way
    reranked: int
    """Pairs that the whole model scored."""
    sequence: int
    """Of the index: the number of its last change that is in the answer."""
    seconds: Mapping[str, float]
    """queue, first_stage, model, total."""


@dataclass(frozen=True)
class Recommended:
    """The answer to `Recommend`."""

    found: Found
    """Its hits in the order in which they are to be shown."""
    unlikeness: float | None
    """1 - the mean cosine of the vectors of two of them; None of fewer than two, or of a model without vectors."""


@dataclass(frozen=True)
class Ranked:
    """The answer to `Rerank`."""

    scores: tuple[float, ...]
    """Probabilities, in the order of the items."""
    tokens: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Embedded:
    """The answer to `Embed`."""

    vectors: Any
    """float32 [texts or images, width]."""
    tokens: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Placed:
    """The answer to `Put` and to `Searcher.remove`: it is on the disk."""

    sequence: int
    count: int
    """Items that were put, or that were there to be removed."""


@dataclass(frozen=True)
class Options:
    """Of a searcher."""

    token_budget: int | None = None
    """Most tokens of a micro-batch. None: what suits the device (4,096 on a CPU, 32,768 on a GPU)."""
    candidates: int = 32
    """That the first stage hands on, where a request says nothing."""
    most_candidates: int = 1000
    """That a request may ask for, as `candidates`, `k` or items of a `Rerank`."""
    most_pairs: int = 4000
    """Of a text and an item, that are scored for one request: others wait behind it."""
    exhaustive: int = 2000
    """Most items of an index that a model without distilled heads is held against one by one."""
    queued_tokens: int | None = None
    """Work that may wait. None: 16 micro-batches. More is refused (`Busy`)."""
    queued_seconds: float = 1.0
    """Longest wait, at the speed of the last requests, that is taken on."""
    max_texts: int = 16
    """Of a topic."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the device multiplies matrices in it, else fp32."""


class Refused(Exception):
    """A request that is not done, for no fault in what it asks. Faults are ValueErrors."""


class Busy(Refused):
    """More work waits than is taken on."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too much work waits; try again in {retry_after:.1f} s")
        self.retry_after = retry_after
        """Seconds until what waits now is done."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Busy, (self.retry_after,)


class Late(Refused):
    """The deadline passed before the answer was there."""


class Closing(Refused):
    """The searcher is being closed, and takes nothing on."""


class TooMuch(ValueError):
    """One request asks for more than options allow."""


class NoSuchItem(ValueError):
    """An id that is not in the index."""
