"""Two shares under Ray Serve answer over HTTP as one searcher does. It needs Ray, and half a minute."""

import json
from http.client import HTTPConnection

import pytest

from interbert.__main__ import main
from interbert.search.requests import Search
from interbert.search.searcher import Searcher
from interbert.serve.running import bound

ray = pytest.importorskip("ray", reason="the extra is not installed")
QUERY = "a red circle"


@pytest.fixture
def port(made_of_scenes):
    from ray import serve

    from interbert.serve.ray import application

    index, parts = made_of_scenes / "index", made_of_scenes / "parts"
    assert main(["index", "split", str(index), "--shards", "2", "--output", str(parts)]) == 0
    with bound("127.0.0.1", 0) as socket:
        free = socket.getsockname()[1]
    ray.init(num_cpus=3, include_dashboard=False, logging_level="warning")
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": free})
        shares = [parts / name for name in "01"]
        serve.run(application(shares, made_of_scenes / "model", num_cpus=0.5))
        yield free
        serve.shutdown()
    finally:
        ray.shutdown()


@pytest.mark.thorough
def test_they_answer_as_one(made_of_scenes, port):
    def ask(method, path, body=None):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    with Searcher.open(made_of_scenes / "index", made_of_scenes / "model") as searcher:
        hits = searcher.submit(Search((QUERY,), k=5, candidates=40)).result(60).hits
    wanted = [hit.id for hit in hits]
    asked = {"query": QUERY, "k": 5, "candidates": 40}
    status, told = ask("POST", "/search", asked)
    assert status == 200 and [one["id"] for one in told["results"]] == wanted
    assert ask("POST", "/recommend", {"topic": [QUERY], "k": 3})[0] == 200
    assert [
        one["text"]
        for one in ask("POST", "/rerank", {"query": QUERY, "texts": wanted, "return_text": True})[1]
    ] == wanted
    for path, body, fault in (
        ("/search", {"query": ""}, (422, "invalid")),
        ("/search", {"query": "a", "k": 5000}, (413, "too_much")),
        ("/rerank", {"query": "a", "texts": ["nobody"]}, (404, "no_such_item")),
    ):
        status, told = ask("POST", path, body)
        assert (status, told["error_type"]) == fault
    assert ask("DELETE", f"/items/{wanted[0]}")[1]["count"] == 1
    assert ask("GET", f"/items/{wanted[0]}")[0] == 404
    assert [one["id"] for one in ask("POST", "/search", asked)[1]["results"]][:4] == wanted[1:]
