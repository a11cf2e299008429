"""Regions of items of an index: kept with it, or in the stores that they came from."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np

from interbert.inference.regions import ImageRegions
from interbert.search.index.truth import Row, Truth
from interbert.search.looks import Look, labels_of, shares_of
from interbert.store.store import Store

log = logging.getLogger(__name__)


class RegionReader:
    """Opens a store when it is first asked for. One that is gone, or of other data, is said once and left alone."""

    def __init__(self, truth: Truth) -> None:
        self._truth, self._lock = truth, threading.Lock()
        self._stores: dict[int, Store | None] = {}

    def of(self, number: int) -> ImageRegions | None:
        """None where they cannot be had any more."""
        found = self._truth.features(number)
        if found is None:
            return None
        if found["place"] is not None:
            return self._of_store(*found["place"])
        boxes = np.frombuffer(found["boxes"], np.float32).reshape(-1, 4)
        features = np.frombuffer(found["features"], np.float16).reshape(len(boxes), -1)
        return ImageRegions(features, boxes, tuple(found["size"]))

    def look(self, row: Row, most: int) -> Look | None:
        """most: regions, the first ones. None where its regions cannot be had any more."""
        regions = self.of(row.number)
        if regions is None:
            return None
        source, labels = None, None
        place = (self._truth.features(row.number) or {"place": None})["place"]
        if place is not None and (store := self._opened(place[0])) is not None:
            start = int(store.read_rows("offsets", place[1], place[1] + 1)[0])
            count = min(most, len(regions.boxes))
            source, labels = store.source, labels_of(store, start, start + count)
        boxes = shares_of(np.asarray(regions.boxes)[:most], regions.size)
        return Look(row.id, row.title, row.attributes, regions.size, boxes, labels, source)

    def close(self) -> None:
        for store in self._stores.values():
            if store is not None:
                store.close()
        self._stores.clear()

    def _of_store(self, number: int, image: int) -> ImageRegions | None:
        store = self._opened(number)
        if store is None or image >= store.images:
            return None
        start, stop = store.read_rows("offsets", image, image + 2).tolist()
        size = store.read_rows("sizes", image, image + 1)[0].tolist()
        features, boxes = (store.read_rows(name, start, stop) for name in ("features", "boxes"))
        return ImageRegions(features, boxes, tuple(size), store.features_of)

    def _opened(self, number: int) -> Store | None:
        with self._lock:
            if number not in self._stores:
                path, fingerprint = self._truth.stores()[number]
                try:
                    store = Store(Path(path))
                    if store.earlier_fingerprint != fingerprint:
                        store.close()
                        raise ValueError("not the store that items were read from")
                except (OSError, ValueError) as error:
                    log.warning("%s: %s; its items are found, but cannot be explained", path, error)
                    store = None
                self._stores[number] = store
            return self._stores[number]
