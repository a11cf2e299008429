"""`GET /`: a page to search with; and what it shows of items, `/looks` and `/pictures`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from interbert.search.requests import NoSuchItem
from interbert.serve.door import Door
from interbert.serve.faults import Fault
from interbert.serve.pictures import Pictures
from interbert.show.style import BASE

FOLDER = Path(__file__).parents[1] / "page"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = tuple(sorted(path.name for path in FOLDER.iterdir() if path.suffix in TYPES))
PATHS = ("/", *(f"/page/{name}" for name in FILES))
"""They hold nothing of an index: whoever has no key may see them, and is asked for it there."""
SAFE = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
OURS = SAFE | {"content-security-policy": POLICY, "cache-control": "no-cache"}
KEPT = {"cache-control": "private, max-age=300"}


def add(app: FastAPI, door: Door, known: Pictures) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response((FOLDER / "index.html").read_bytes(), 200, OURS, "text/html; charset=utf-8")

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in FILES:
            raise Fault(404, "no_such_path", "no such file of the page; `/` is the page")
        path = FOLDER / name
        text = (BASE if name == "page.css" else "") + path.read_text(encoding="utf-8")
        return Response(text, 200, OURS, f"{TYPES[path.suffix]}; charset=utf-8")

    @app.get("/looks")
    async def looks(id: str = "") -> Response:
        door.must_be_open()
        look = await door.aside(door.searcher.look, id)
        told = None if look is None else asdict(look) | {"picture": known.known(look)}
        return JSONResponse(told, headers=SAFE)

    @app.get("/pictures")
    async def pictures(id: str = "") -> Response:
        door.must_be_open()
        look = await door.aside(door.searcher.look, id)
        found = None if look is None else await door.aside(known.of, look)
        if found is None:
            raise NoSuchItem(f"no picture of {id!r} is known here: its regions are all there is")
        return Response(found[0], 200, SAFE | KEPT, found[1])
