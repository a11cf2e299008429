"""All of it put together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from interbert import __version__
from interbert.serve import faults
from interbert.serve.door import Door
from interbert.serve.events import EventsBody
from interbert.serve.hosts import Named
from interbert.serve.keys import Keyed
from interbert.serve.metrics import Counted, Metrics
from interbert.serve.pictures import Pictures
from interbert.serve.routes import admin, embeddings, items, page, recommend, rerank, search, state, trial
from interbert.serve.shapes import BODIES
from interbert.serve.trial import Trial

BODY_OF = {
    ("/search", "post"): ("SearchBody",),
    ("/recommend", "post"): ("RecommendBody",),
    ("/admin/swap", "post"): ("SwapBody",),
    ("/items", "put"): ("ItemsBody", "ItemBody", "PictureBody"),
    ("/v1/rerank", "post"): ("RerankBody",),
    ("/v2/rerank", "post"): ("RerankBody",),
    ("/rerank", "post"): ("TeiRerankBody", "RerankBody"),
    ("/v1/embeddings", "post"): ("EmbeddingsBody",),
    ("/events", "post"): ("EventsBody",),
}
SHAPES = "#/components/schemas/"


def app_of(
    door: Door,
    keys: list[str] | None = None,
    admin_keys: list[str] | None = None,
    names: Collection[str] = (),
    of: Trial | None = None,
    pictures: Pictures | None = None,
) -> FastAPI:
    """keys: None, everybody may ask who calls it by an address, by a name of this machine or by one of names.
    admin_keys: None, nobody may swap models. of: the trial that this model is an arm of."""
    app = FastAPI(title="InterBERT search", version=__version__, docs_url=None, redoc_url=None)
    metrics = Metrics()
    for routes in (search, recommend, items, rerank, embeddings, *([admin] if admin_keys else [])):
        routes.add(app, door)
    state.add(app, door, metrics)
    page.add(app, door, pictures or Pictures())
    trial.add(app, door, of)
    faults.handle(app)
    if keys or admin_keys:
        app.add_middleware(Keyed, keys=keys, admin=admin_keys, free=page.PATHS)
    if not keys:
        app.add_middleware(Named, names=names)
    app.add_middleware(Counted, metrics=metrics)
    app.openapi = lambda: _described(app)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """With the bodies, which are read by hand: bounded, and as strict JSON."""
    if app.openapi_schema:
        return app.openapi_schema
    told = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, shapes = models_json_schema(
        [(body, "validation") for body in (*BODIES, EventsBody)], ref_template=f"{SHAPES}{{model}}"
    )
    told.setdefault("components", {}).setdefault("schemas", {}).update(shapes["$defs"])
    for (path, method), names in BODY_OF.items():
        if path not in told["paths"]:
            continue  # nobody may
        schema = {"anyOf": [{"$ref": f"{SHAPES}{name}"} for name in names]}
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        told["paths"][path][method]["requestBody"] = body
    app.openapi_schema = told
    return told
