"""A span of each request, below the one of its client's, by OpenTelemetry's API.

Where its package is not there, or nobody has set up where spans go to (`opentelemetry-instrument interbert serve …`
does), nothing is done.
"""

from __future__ import annotations

import time
from typing import Any

try:
    from opentelemetry import propagate, trace
except ModuleNotFoundError:
    trace = None

STAGES = ("queue", "first_stage", "model")
"""Of an answer's seconds, in the order in which they are gone through."""
NANO = 1e9


class Traced:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if trace is None or scope["type"] != "http":
            return await self._app(scope, receive, send)
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        with trace.get_tracer("interbert").start_as_current_span(
            method, context=propagate.extract(sent), kind=trace.SpanKind.SERVER
        ) as span:

            async def told(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.request.method", method)
                    span.set_attribute("http.response.status_code", message["status"])
                    if (route := getattr(scope.get("route"), "path", None)) is not None:
                        span.set_attribute("http.route", route)
                        span.update_name(f"{method} {route}")
                await send(message)

            await self._app(scope, receive, told)


def stages_of(answer: Any) -> None:
    """Spans below the current one, of how long each part of an answer took."""
    seconds = getattr(getattr(answer, "found", answer), "seconds", None)
    if trace is None or not seconds:
        return
    tracer = trace.get_tracer("interbert")
    began = time.time() - seconds["total"]
    for stage in STAGES:
        if seconds[stage]:
            span = tracer.start_span(stage, start_time=int(began * NANO))
            began += seconds[stage]
            span.end(int(began * NANO))
