"""`PUT /items`, `GET` and `DELETE /items/{id}`"""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from interbert.inference.regions import ImageRegions
from interbert.inference.uploads import Uploads
from interbert.search.requests import Item, Late, NoSuchItem, Put, TooMuch
from interbert.serve.door import Door
from interbert.serve.regions import regions_of
from interbert.serve.shapes import ItemBody, ItemsBody, PictureBody, shaped

MOST_PICTURES = 16
"""Of a request: each takes a detector as long as many a request takes in all."""


def add(app: FastAPI, door: Door) -> None:
    def asked(value: Any, seconds: float) -> tuple[None, Put]:
        sent: list[ItemBody | PictureBody]
        if isinstance(value, dict) and "items" in value:
            sent = shaped(ItemsBody, value).items
        elif isinstance(value, dict) and "image" in value:
            sent = [shaped(PictureBody, value)]
        else:
            sent = [shaped(ItemBody, value)]
        return None, Put(_items(sent, door.uploads, seconds), seconds)

    @app.put("/items")
    async def put(request: Request) -> Response:
        _, placed = await door.ask(request, asked, pictures=True)
        return JSONResponse(asdict(placed))

    @app.get("/items/{item_id:path}")
    async def get(item_id: str) -> Response:
        door.must_be_open()
        item = await door.aside(door.searcher.item, item_id)
        named = {name: item[name] for name in ("id", "title", "attributes")}
        return JSONResponse(named | _told(item["regions"]))

    @app.delete("/items/{item_id:path}")
    async def delete(item_id: str) -> Response:
        door.must_be_open()
        placed = await door.remove(item_id)
        if not placed.count:
            raise NoSuchItem(f"no item {item_id!r} in this index")
        return JSONResponse(asdict(placed))


def _items(sent: list[ItemBody | PictureBody], uploads: Uploads | None, seconds: float) -> tuple[Item, ...]:
    pictures, end = sum(isinstance(one, PictureBody) for one in sent), time.monotonic() + seconds
    if pictures > MOST_PICTURES:
        raise TooMuch(
            f"{pictures} pictures in one request, and {MOST_PICTURES} are taken; send fewer at a time"
        )
    found = []
    for one in sent:
        who = f"item {one.id[:100]!r}"
        if isinstance(one, PictureBody):
            if time.monotonic() > end:
                raise Late("the deadline passed before all pictures were seen")
            regions = _seen(one, uploads, who)
        else:
            regions = regions_of(one, who)
        found.append(Item(one.id, regions, one.title, one.attributes))
    return tuple(found)


def _seen(sent: PictureBody, uploads: Uploads | None, who: str) -> ImageRegions:
    if uploads is None:
        raise ValueError(
            f"{who}, image: this server finds no regions in pictures; send features, boxes and size, or start it "
            "with --detector or --encoder"
        )
    try:
        data = base64.b64decode(sent.image, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{who}, image: that is no base64; send the bytes of the file so") from None
    return uploads.regions(data, f"{who}, image")


def _told(regions: ImageRegions | None) -> dict[str, Any]:
    """As they can be put again; nothing where their store is gone."""
    if regions is None:
        return {}
    halves = np.asarray(regions.features).astype("<f2")
    return {
        "features": base64.b64encode(halves.tobytes()).decode(),
        "boxes": np.asarray(regions.boxes).tolist(),
        "size": [int(side) for side in regions.size],
        "dtype": "float16",
        "features_of": regions.features_of,
    }
