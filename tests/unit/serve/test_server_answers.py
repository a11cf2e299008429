"""What the server answers is what the engine says, in the shapes that clients know."""

import base64
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_search import WIDTH, some_regions

from interbert.search.requests import Embed, Recommend, Rerank, Search
from interbert.search.searcher import Searcher

QUERY = "w01 w02 w03"


def body_of(regions, dtype="float16"):
    features = np.asarray(regions.features, dtype)
    return {
        "features": base64.b64encode(features.tobytes()).decode(),
        "boxes": regions.boxes.tolist(),
        "size": list(regions.size),
        "dtype": dtype,
    }


def engine(client, asked):
    return client.door.searcher.submit(asked).result(30)


def test_a_search_is_the_engines(client):
    status, told = client.ask("POST", "/search", {"query": QUERY, "k": 4, "candidates": 20})
    found = engine(client, Search((QUERY,), k=4, candidates=20))
    assert status == 200 and told["way"] == "distilled" and told["reranked"] == 20
    assert [one["id"] for one in told["results"]] == [hit.id for hit in found.hits]
    for one, hit in zip(told["results"], found.hits, strict=True):
        assert one["score"] == pytest.approx(hit.score, abs=1e-5)
        assert one["first_score"] == pytest.approx(hit.first_score, abs=1e-5)
        assert "explanation" not in one


def test_many_clients_get_what_each_would_get_alone(client):
    queries = [QUERY, "w10 w11", "w05 w06 w07"]
    wanted = [[hit.id for hit in engine(client, Search((query,), k=3)).hits] for query in queries]
    with ThreadPoolExecutor(12) as clients:
        asked = [{"query": queries[number % 3], "k": 3} for number in range(36)]
        answers = list(clients.map(lambda one: client.ask("POST", "/search", one), asked))
    for number, (status, told) in enumerate(answers):
        assert status == 200 and [one["id"] for one in told["results"]] == wanted[number % 3]


def test_a_topic_without_ranking_again_and_without_some(client):
    topic = [QUERY, "w05 w06"]
    asked = {"topic": topic, "k": 3, "rerank": False}
    status, told = client.ask("POST", "/search", asked)
    found = engine(client, Search(tuple(topic), k=3, rerank=False))
    assert status == 200 and [one["id"] for one in told["results"]] == [hit.id for hit in found.hits]
    first = told["results"][0]["id"]
    _, told = client.ask("POST", "/search", asked | {"exclude": [first]})
    assert first not in [one["id"] for one in told["results"]] and len(told["results"]) == 3


def test_a_recommendation_is_the_engines(client):
    topic = [QUERY, "w05 w06"]
    asked = {"topic": topic, "k": 5, "candidates": 40, "diversity": 0.8, "cap": 3, "cap_by": "shop"}
    status, told = client.ask("POST", "/recommend", asked)
    wanted = engine(client, Recommend(tuple(topic), 5, 40, diversity=0.8, cap=3, cap_by="shop"))
    assert status == 200 and told["reranked"] == 80
    assert [one["id"] for one in told["results"]] == [hit.id for hit in wanted.found.hits]
    assert told["unlikeness"] == pytest.approx(wanted.unlikeness, abs=1e-5)
    seen = [one["id"] for one in told["results"]]
    status, told = client.ask("POST", "/recommend", asked | {"seen": seen})
    assert len(told["results"]) == 5 and not {one["id"] for one in told["results"]} & set(seen)


def test_it_is_explained_where_words_look(client):
    status, told = client.ask("POST", "/search", {"query": QUERY, "k": 2, "explain": True})
    explanation = told["results"][0]["explanation"]
    assert status == 200 and explanation["words"] == QUERY.split()
    assert np.shape(explanation["weights"]) == (3, len(explanation["boxes"]))


@pytest.mark.parametrize("form", ["float16", "float32", "lists"])
def test_an_item_is_put_found_read_and_removed(client, form):
    regions = some_regions(5)
    sent = body_of(regions, "float16" if form == "lists" else form)
    if form == "lists":
        sent["features"] = regions.features.astype(float).tolist()
    name = f"sofas/{form} 1"
    item = {"id": name, "title": "a sofa", "attributes": {"seller": form}, **sent}
    status, placed = client.ask("PUT", "/items", {"items": [item]})
    assert (status, placed["count"]) == (200, 1)
    _, told = client.ask("POST", "/search", {"query": QUERY, "filter": {"seller": form}})
    assert [(one["id"], one["title"]) for one in told["results"]] == [(name, "a sofa")]
    path = f"/items/{name.replace(' ', '%20')}"
    status, told = client.ask("GET", path)
    assert status == 200 and told["attributes"] == {"seller": form}
    assert told["features"] == body_of(regions)["features"] and told["size"] == [200, 100]
    np.testing.assert_allclose(told["boxes"], regions.boxes, atol=1e-3)
    assert client.ask("PUT", "/items", told)[0] == 200 and client.ask("GET", path) == (200, told)
    assert client.ask("PUT", "/items", item)[1]["sequence"] > placed["sequence"]  # one by itself
    assert client.ask("DELETE", path)[1]["count"] == 1
    for method in ("GET", "DELETE"):
        status, told = client.ask(method, path)
        assert (status, told["error_type"]) == (404, "no_such_item") and name in told["error"]


def some_ids(client, count=3):
    return [hit.id for hit in engine(client, Search((QUERY,), k=count, rerank=False)).hits]


def test_documents_are_ranked_as_cohere_and_jina_tell_it(client):
    ids, regions = some_ids(client), some_regions(3)
    scores = engine(client, Rerank(QUERY, (*ids, regions))).scores
    asked = {"model": "any", "query": QUERY, "documents": [ids[0], {"id": ids[1]}, ids[2], body_of(regions)]}
    for path, version in (("/v1/rerank", "1"), ("/v2/rerank", "2"), ("/rerank", "2")):
        status, told = client.ask("POST", path, asked | {"return_documents": True})
        assert status == 200 and told["meta"]["api_version"]["version"] == version
        assert told["usage"]["total_tokens"] > 0 and told["id"] and told["model"]
        order = [one["index"] for one in told["results"]]
        assert order == sorted(range(4), key=lambda index: -scores[index])
        for one in told["results"]:
            assert one["relevance_score"] == pytest.approx(scores[one["index"]], abs=1e-5)
            wanted = [{"text": ids[0]}, {"id": ids[1]}, {"text": ids[2]}, None][one["index"]]
            assert one.get("document") == wanted
    told = client.ask("POST", "/v2/rerank", asked | {"top_n": 2})[1]
    assert [one["index"] for one in told["results"]] == order[:2]
    assert "document" not in told["results"][0]


def test_texts_are_ranked_as_tei_tells_it(client):
    ids = some_ids(client)
    scores = engine(client, Rerank(QUERY, tuple(ids))).scores
    asked = {"query": QUERY, "texts": ids, "truncate": True}
    status, told = client.ask("POST", "/rerank", asked | {"return_text": True})
    assert status == 200 and [one["text"] for one in told] == [ids[one["index"]] for one in told]
    assert [one["score"] for one in told] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    _, raw = client.ask("POST", "/rerank", asked | {"raw_scores": True})
    for one in raw:
        chance = scores[one["index"]]
        assert one["score"] == pytest.approx(np.log(chance / (1 - chance)), abs=1e-3)
    status, told = client.ask("POST", "/rerank", {"query": QUERY, "texts": ["nobody"]})
    assert status == 404 and "nobody" in told["error"]


def test_vectors_are_told_as_openai_does(client):
    vectors = engine(client, Embed((QUERY, "w05"))).vectors
    status, told = client.ask("POST", "/v1/embeddings", {"input": [QUERY, "w05"], "model": "any"})
    assert status == 200 and told["object"] == "list" and told["usage"]["prompt_tokens"] > 0
    np.testing.assert_allclose([one["embedding"] for one in told["data"]], vectors, atol=1e-5)
    _, told = client.ask("POST", "/v1/embeddings", {"input": QUERY, "encoding_format": "base64"})
    found = np.frombuffer(base64.b64decode(told["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(found, vectors[0], atol=1e-5)
    _, told = client.ask("POST", "/v1/embeddings", {"input": [body_of(some_regions(1))], "dimensions": WIDTH})
    image = engine(client, Embed(images=(some_regions(1),))).vectors
    np.testing.assert_allclose([told["data"][0]["embedding"]], image, atol=1e-5)
    assert client.ask("POST", "/v1/embeddings", {"input": QUERY, "dimensions": 7})[0] == 422


def test_answers_wait_for_no_acknowledgement(client):
    """Which would cost 40 ms each."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=5) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert raw.recv(1000)
        for one in client.server.server_state.connections:
            opened = one.transport.get_extra_info("socket")
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_says_how_it_is(client, monkeypatch):
    assert client.ask("GET", "/health") == (200, {"status": "alive"})
    assert client.ask("GET", "/ready") == (200, {"status": "ready"})
    with monkeypatch.context() as patched:
        patched.setattr(Searcher, "alive", False)
        status, told = client.ask("GET", "/ready")
        assert (status, told["error_type"]) == (503, "ended")
    status, told = client.ask("GET", "/info")
    assert status == 200 and told["index"]["items"] == len(client.door.searcher.index)
    assert told["limits"]["body_bytes"] == client.door.bodies.most
    status, told = client.ask("GET", "/openapi.json")
    assert status == 200 and "candidates" in told["components"]["schemas"]["SearchBody"]["properties"]
    assert "/items/{item_id}" in told["paths"]


def test_metrics_count_what_was_asked(client):
    def read():
        status, body, headers = client.send("GET", "/metrics")
        assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    before = read()
    for asked in ({"query": QUERY}, {"query": ""}):
        client.ask("POST", "/search", asked)
    client.ask("GET", "/" + "x" * 50)
    after = read()

    def more(name):
        return after[name] - before.get(name, 0)

    assert more('interbert_requests_total{method="POST",path="/search",status="200"}') == 1
    assert more('interbert_requests_total{method="POST",path="/search",status="422"}') == 1
    assert more('interbert_requests_total{method="GET",path="other",status="404"}') == 1
    assert more('interbert_request_seconds_bucket{path="/search",le="+Inf"}') == 2
    assert more("interbert_pairs_total") == 32 and after["interbert_waiting_requests"] == 0
    assert after["interbert_items"] == len(client.door.searcher.index)
