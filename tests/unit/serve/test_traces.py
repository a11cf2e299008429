"""Spans, by an SDK of a few lines: OpenTelemetry's own is what users bring."""

from itertools import pairwise

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

QUERY = {"query": "w01 w02", "k": 2}
STAGES = ["queue", "first_stage", "model"]


class Span(NonRecordingSpan):
    def __init__(self, name, parent, number, start):
        super().__init__(SpanContext(parent.trace_id or 7, number, False, TraceFlags(1)))
        self.name, self.parent, self.start, self.stop = name, parent.span_id, start, None
        self.number = number

    def is_recording(self):
        return True

    def update_name(self, name):
        self.name = name

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


class Provider(trace.TracerProvider):
    def __init__(self):
        self.tracer = Tracer()

    def get_tracer(self, *_, **__):
        return self.tracer


@pytest.fixture
def spans(monkeypatch):
    provider = Provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return provider.tracer.spans


def below(spans, number):
    """All spans below that one, of whatever depth."""
    own = [span for span in spans if span.parent == number]
    return own + [deeper for span in own for deeper in below(spans, span.number)]


def test_a_request_is_a_span_below_its_clients_with_its_stages_below_it(client, spans):
    above = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    assert client.ask("POST", "/search", QUERY, traceparent=above)[0] == 200
    (request,) = [span for span in spans if span.parent == int("cd" * 8, 16)]
    assert request.name.startswith("POST") and request.get_span_context().trace_id == int("ab" * 16, 16)
    stages = [span for span in below(spans, request.number) if span.name in STAGES]
    assert [span.name for span in stages] == STAGES
    for one, other in pairwise(stages):
        assert one.start < one.stop == other.start


def test_the_stages_take_as_long_as_the_answer_says(client, spans):
    told = client.ask("POST", "/recommend", {"topic": ["w01"], "k": 2})[1]
    took = {span.name: (span.stop - span.start) / 1e9 for span in spans if span.name in STAGES}
    assert took == pytest.approx({name: told["seconds"][name] for name in STAGES}, abs=1e-5)
    spans.clear()
    assert client.ask("POST", "/search", {"query": ""})[0] == 422
    assert spans and not [span for span in spans if span.name in STAGES]
