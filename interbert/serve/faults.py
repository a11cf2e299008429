"""What goes wrong, as a status and one line of JSON: {"error", "error_type"}."""

from __future__ import annotations

import errno
import logging
import math

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from interbert.search.requests import Busy, Closing, Late, NoSuchItem, TooMuch

log = logging.getLogger(__name__)

CLIENT_LEFT = 499
"""Nobody reads it; it is counted."""


class Fault(Exception):
    """A request that is wrong before anything of the search is asked."""

    def __init__(self, status: int, kind: str, said: str, **headers: str) -> None:
        super().__init__(said)
        self.status, self.kind, self.headers = status, kind, headers


STATUS: dict[type[Exception], tuple[int, str]] = {
    TooMuch: (413, "too_much"),
    NoSuchItem: (404, "no_such_item"),
    ValueError: (422, "invalid"),
    Busy: (429, "busy"),
    Closing: (503, "draining"),
    Late: (504, "late"),
}
"""The first that fits."""


def said(status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": text, "error_type": kind}, status, headers)


def told(error: Exception) -> Response:
    if isinstance(error, Fault):
        return said(error.status, error.kind, str(error), error.headers)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return said(507, "disk_full", "no room on the server's disk: nothing was changed")
    for kind, (status, name) in STATUS.items():
        if isinstance(error, kind):
            wait = {"Retry-After": str(math.ceil(error.retry_after))} if isinstance(error, Busy) else None
            return said(status, name, str(error), wait)
    log.error("a request ended in a fault of the server's", exc_info=error)
    return _own(error)


def _own(_: Exception) -> Response:
    return said(500, "internal", "a fault of the server's; its log says more")


def handle(app: FastAPI) -> None:
    """Every fault of a request in that one form."""

    def of_search(_: Request, error: Exception) -> Response:
        return told(error)

    def of_route(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = {404: "no_such_path", 405: "wrong_method"}.get(error.status_code, "invalid")
        remedy = "/openapi.json says what there is"
        return said(error.status_code, kind, f"{error.detail}; {remedy}", dict(error.headers or {}))

    def of_leaving(_: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_LEFT)

    for kind in (Fault, OSError, *STATUS):
        app.add_exception_handler(kind, of_search)
    app.add_exception_handler(HTTPException, of_route)
    app.add_exception_handler(ClientDisconnect, of_leaving)
    app.add_exception_handler(Exception, lambda _, error: _own(error))  # uvicorn logs it
