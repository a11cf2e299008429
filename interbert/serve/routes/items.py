"""`PUT /items`, `GET` and `DELETE /items/{id}`"""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.inference.regions import ImageRegions
from interbert.search.requests import Item, NoSuchItem, Put
from interbert.serve.door import Door
from interbert.serve.regions import regions_of
from interbert.serve.shapes import ItemBody, ItemsBody, shaped


def add(app: FastAPI, door: Door) -> None:
    @app.put("/items")
    async def put(request: Request) -> Response:
        _, placed = await door.ask(request, _asked)
        return JSONResponse(asdict(placed))

    @app.get("/items/{item_id:path}")
    async def get(item_id: str) -> Response:
        door.must_be_open()
        item = await door.aside(door.searcher.item, item_id)
        return JSONResponse(item | {"regions": _told(item["regions"])})

    @app.delete("/items/{item_id:path}")
    async def delete(item_id: str) -> Response:
        door.must_be_open()
        placed = await door.aside(door.searcher.remove, (item_id,))
        if not placed.count:
            raise NoSuchItem(f"no item {item_id!r} in this index")
        return JSONResponse(asdict(placed))


def _asked(value: Any, seconds: float) -> tuple[None, Put]:
    several = isinstance(value, dict) and "items" in value
    sent = shaped(ItemsBody, value).items if several else [shaped(ItemBody, value)]
    return None, Put(tuple(_item(one) for one in sent), seconds)


def _item(sent: ItemBody) -> Item:
    return Item(sent.id, regions_of(sent, f"item {sent.id[:100]!r}"), sent.title, sent.attributes)


def _told(regions: ImageRegions | None) -> dict[str, Any] | None:
    """As they can be put again; None where their store is gone."""
    if regions is None:
        return None
    halves = np.asarray(regions.features).astype("<f2")
    return {
        "features": base64.b64encode(halves.tobytes()).decode(),
        "boxes": np.asarray(regions.boxes).tolist(),
        "size": [int(side) for side in regions.size],
        "dtype": "float16",
        "features_of": regions.features_of,
    }
