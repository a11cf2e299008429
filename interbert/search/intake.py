"""What is asked, checked and made ready for the model: faults are found here, before anything waits in a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from interbert.batches.prepare import box_shares
from interbert.inference.regions import ImageRegions
from interbert.search.engine.jobs import Image
from interbert.search.requests import Item, Options, TooMuch
from interbert.store.features_of import refuse_other_features
from interbert.tokenizer import Tokenizer

LONGEST_ID, LONGEST_TITLE, LONGEST_ATTRIBUTES = 512, 4096, 16_384
LONGEST_TEXT = 10_000
"""Characters; a tokenizer takes hundreds of bytes for each before anything is cut."""
MOST_VALUES, MOST_EXCLUDED = 1000, 10_000
ZERO = "\0"
"""At which SQLite takes a text of JSON to end."""


class Intake:
    def __init__(
        self, tokenizer: Tokenizer, about: Mapping[str, Any], options: Options, longest: int
    ) -> None:
        """about: of the index. longest: tokens of a text that the model has positions for."""
        self._tokenizer, self._about, self._options, self._longest = tokenizer, about, options, longest

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each, cut as in training."""
        if not texts:
            raise ValueError("no text is given; give one, or the short texts of a topic")
        if len(texts) > self._options.max_texts:
            raise TooMuch(f"{len(texts)} texts in one request, and {self._options.max_texts} are taken")
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"text {number} is empty; say what is sought")
            if len(text) > LONGEST_TEXT:
                raise TooMuch(f"text {number} has {len(text):,} characters, and {LONGEST_TEXT:,} are taken")
            _must_be_unicode(f"text {number}", text)
        return [np.array(ids, np.int64) for ids in self._tokenizer.encode(texts, self._longest)]

    def count(self, name: str, asked: int) -> int:
        return counted(name, asked, self._options)

    def filter(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        values = 0
        for name, value in wanted.items():
            if not isinstance(name, str):
                raise ValueError(f"filter: {name!r} is no name of an attribute")
            if ZERO in name:
                raise ValueError(f"filter: {name!r} holds a zero byte, which no name of an attribute does")
            _must_be_unicode("filter", name)
            several = value if isinstance(value, list | tuple | set | frozenset) else [value]
            values += len(several)
            if values > MOST_VALUES:
                raise TooMuch(f"filter: {values:,} values up to {name}, and {MOST_VALUES:,} in all are taken")
            if not several or not all(isinstance(one, str | int | float | bool) for one in several):
                raise ValueError(f"filter: {name} must be a text, a number, true or false, or a list of such")
            if any(isinstance(one, int) and not -(2**63) <= one < 2**63 for one in several):
                raise ValueError(f"filter: {name} is beyond 64 bits, which no attribute is")
        return dict(wanted)

    def excluded(self, ids: frozenset[str]) -> frozenset[str]:
        if len(ids) > MOST_EXCLUDED:
            raise TooMuch(f"{len(ids):,} ids are excluded, and {MOST_EXCLUDED:,} are taken")
        for one in ids:
            _must_be_unicode("an excluded id", one)
        return ids

    def image(self, regions: ImageRegions, who: str = "the image") -> Image:
        """As stores hold it, with no more regions than the index has of an item."""
        features, boxes = np.asarray(regions.features), np.asarray(regions.boxes)
        if features.ndim != 2 or boxes.shape != (len(features), 4):
            raise ValueError(
                f"{who}: features are [regions, width] and boxes [regions, 4]; these are {list(features.shape)} and "
                f"{list(boxes.shape)}"
            )
        width = self._about["feature_width"]
        if features.shape[1] != width:
            raise ValueError(f"{who}: its features are {features.shape[1]} wide, the model takes {width}")
        if not len(features):
            raise ValueError(
                f"{who}: it has no regions; a detector or a patch encoder finds some in any picture"
            )
        refuse_other_features("the model", self._about["features_of"], who, regions.features_of)
        kept = self._about["max_regions"]
        features, boxes = features[:kept].astype(np.float16), boxes[:kept].astype(np.float32)
        for name, values in (("features", features), ("boxes", boxes)):
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                raise ValueError(
                    f"{who}, {name}, row {row}: not a finite number in float16; compute them anew"
                )
        shares_R5 = box_shares(boxes, np.array([len(boxes)]), np.array([regions.size]))
        return Image(features, shares_R5)

    def item(self, item: Item) -> Image:
        if not item.id or len(item.id) > LONGEST_ID:
            raise ValueError(f"an item's id has 1 to {LONGEST_ID} characters; this one has {len(item.id)}")
        who = f"item {item.id!r}"
        _must_be_unicode(f"{who}, id", item.id)
        _must_be_unicode(f"{who}, title", item.title)
        if len(item.title) > LONGEST_TITLE:
            raise TooMuch(f"{who}: its title has {len(item.title)} characters, and {LONGEST_TITLE} are taken")
        for name, value in item.attributes.items():
            if not isinstance(name, str) or not isinstance(value, str | int | float | bool):
                raise ValueError(f"{who}, attributes: {name!r} must be a text, a number, true or false")
            if ZERO in name or (isinstance(value, str) and ZERO in value):
                raise ValueError(
                    f"{who}, attributes: {name!r} holds a zero byte, which no filter finds; leave it out"
                )
        if len(json.dumps(dict(item.attributes))) > LONGEST_ATTRIBUTES:
            raise TooMuch(f"{who}: its attributes are longer than {LONGEST_ATTRIBUTES} characters")
        return self.image(item.regions, who)


def counted(name: str, asked: int, options: Options) -> int:
    if asked < 1:
        raise ValueError(f"{name} is {asked}; it must be 1 or more")
    if asked > options.most_candidates:
        raise TooMuch(f"{name} is {asked}, and {options.most_candidates} is the most that is taken")
    return asked


def _must_be_unicode(who: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{who}: half of a character (a lone surrogate) is in it; send valid UTF-8"
        ) from None
