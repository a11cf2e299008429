"""Spans, by an SDK of a few lines: OpenTelemetry's own is what users bring."""

from itertools import pairwise

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

QUERY = {"query": "w01 w02", "k": 2}


class Span(NonRecordingSpan):
    def __init__(self, name, parent, number, start):
        super().__init__(SpanContext(parent.trace_id or 7, number, False, TraceFlags(1)))
        self.name, self.parent, self.attributes, self.start, self.stop = name, parent, {}, start, None

    def update_name(self, name):
        self.name = name

    def set_attribute(self, key, value):
        self.attributes[key] = value

    def end(self, end_time=None):
        self.stop = end_time


class Tracer(trace.Tracer):
    def __init__(self):
        self.spans = []

    def start_span(self, name, context=None, start_time=None, **_):
        parent = trace.get_current_span(context).get_span_context()
        self.spans.append(Span(name, parent, len(self.spans) + 1, start_time))
        return self.spans[-1]

    def start_as_current_span(self, name, context=None, **more):
        return use_span(self.start_span(name, context, **more), end_on_exit=True)


@pytest.fixture
def spans(monkeypatch):
    tracer = Tracer()
    monkeypatch.setattr(trace, "get_tracer", lambda _: tracer)
    return tracer.spans


def test_a_request_is_a_span_below_its_clients_with_its_stages_below_it(client, spans):
    above = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    assert client.ask("POST", "/search", QUERY, traceparent=above)[0] == 200
    request, *stages = spans
    assert request.name == "POST /search" and request.parent.trace_id == int("ab" * 16, 16)
    assert request.attributes["http.response.status_code"] == 200
    assert [span.name for span in stages] == ["queue", "first_stage", "model"]
    assert all(span.parent.span_id == request.get_span_context().span_id for span in stages)
    for one, other in pairwise(stages):
        assert one.start < one.stop == other.start
    told = client.ask("POST", "/recommend", {"topic": ["w01"], "k": 2})[1]
    assert spans[4].name == "POST /recommend" and len(spans) == 8
    took = [(span.stop - span.start) / 1e9 for span in spans[5:]]
    assert took == pytest.approx(
        [told["seconds"][name] for name in ("queue", "first_stage", "model")], abs=1e-5
    )


def test_a_request_that_is_wrong_is_a_span_too(client, spans):
    assert client.ask("POST", "/search", {"query": ""})[0] == 422
    assert client.ask("GET", "/nowhere")[0] == 404
    assert [span.name for span in spans] == ["POST /search", "GET"]
    assert [span.attributes["http.response.status_code"] for span in spans] == [422, 404]
