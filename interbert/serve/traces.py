"""What a request was spent on, as spans of OpenTelemetry's API below FastAPI's own span of it.

Where nobody has set up where spans go to (`opentelemetry-instrument interbert serve …` does) nothing is done.
"""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import trace

STAGES = ("queue", "first_stage", "model")
"""Of an answer's seconds, in the order in which they are gone through."""
NANO = 1e9


def stages_of(answer: Any) -> None:
    """Spans below the current one, of how long each part of an answer took."""
    seconds = getattr(getattr(answer, "found", answer), "seconds", None)
    if not seconds or not trace.get_current_span().is_recording():
        return
    tracer = trace.get_tracer("interbert")
    began = time.time() - seconds["total"]
    for stage in STAGES:
        if seconds[stage]:
            span = tracer.start_span(stage, start_time=int(began * NANO))
            began += seconds[stage]
            span.end(int(began * NANO))
