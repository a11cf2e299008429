"""Requests by path and status, how long they took, and the searcher's load, in Prometheus' text format."""

from __future__ import annotations

import bisect
import re
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from interbert.search.searcher import Load

EDGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Of a histogram, in seconds."""
OF_LOAD = {
    "requests": ("waiting_requests", "gauge"),
    "tokens": ("waiting_tokens", "gauge"),
    "tokens_per_second": ("tokens_per_second", "gauge"),
    "micro_batches": ("micro_batches_total", "counter"),
    "pairs": ("pairs_total", "counter"),
    "dropped": ("dropped_total", "counter"),
    "late": ("late_total", "counter"),
    "refused": ("refused_total", "counter"),
}


class Metrics:
    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._took: dict[str, list[int]] = defaultdict(lambda: [0] * (len(EDGES) + 1))
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        self._requests[method, path, status] += 1
        self._took[path][bisect.bisect_left(EDGES, seconds)] += 1
        self._seconds[path] += seconds

    def text(self, load: Load, items: int) -> str:
        lines = ["# TYPE interbert_requests_total counter"]
        for (method, path, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",path="{path}",status="{status}"'
            lines.append(f"interbert_requests_total{{{labels}}} {count}")
        lines.append("# TYPE interbert_request_seconds histogram")
        for path, counts in sorted(self._took.items()):
            name, total = "interbert_request_seconds", 0
            for edge, count in zip((*map(str, EDGES), "+Inf"), counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{path="{path}",le="{edge}"}} {total}')
            lines.append(f'{name}_sum{{path="{path}"}} {self._seconds[path]:.6f}')
            lines.append(f'{name}_count{{path="{path}"}} {total}')
        told = [(*OF_LOAD[field], value) for field, value in asdict(load).items()]
        for name, kind, value in [*told, ("items", "gauge", items)]:
            lines += [f"# TYPE interbert_{name} {kind}", f"interbert_{name} {value}"]
        return "\n".join(lines) + "\n"


class Counted:
    """Counts what passes, and gives it the id that it came with, or one."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = time.monotonic(), 500
        called = _id_of(scope)

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", called)]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")  # as it is declared: there are no more labels than routes
            method = scope["method"] if scope["method"] in ("GET", "POST", "PUT", "DELETE") else "other"
            self._metrics.count(method, path, status, time.monotonic() - began)


def _id_of(scope: Any) -> bytes:
    sent = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent if re.fullmatch(rb"[\w.:-]{1,128}", sent) else uuid.uuid4().hex.encode()
