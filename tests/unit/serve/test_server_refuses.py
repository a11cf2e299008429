"""What is wrong is told with where and the remedy; what is too much is refused, and nothing ends in a 500."""

import errno
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_search import open_searcher, some_regions, until
from small_server import JSON, served
from test_server_answers import QUERY, body_of

from interbert.search.requests import Options
from interbert.serve.body import Bodies
from interbert.serve.keys import read_keys

HEAD = b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BAD_JSON = [
    b"",
    b"{",
    b'{"query": NaN}',
    b'{"query": "a", "k": Infinity}',
    b'{"query": "a", "k": 1e999}',
    b'{"query": "a", "k": ' + b"9" * 5000 + b"}",
    b'{"query": "\\ud800"}',
    b'{"query": "\xff"}',
    b'\xff\xfe{\x00"\x00',
    b"[" * 100_000,
    b'{"query": "a"} x',
    b'{"query": "a", "query": "b"}',
    json.dumps({str(number): 0 for number in range(2000)}).encode(),
]


@pytest.mark.parametrize("number", range(len(BAD_JSON)))
def test_what_is_no_json_is_400(client, number):
    status, told, _ = client.send("POST", "/search", BAD_JSON[number])
    assert (status, json.loads(told)["error_type"]) == (400, "not_json")


SOFA = {"id": "sofa", **body_of(some_regions(2))}
FAULTS = [
    ("/search", {"qery": "a"}, ("qery", "there is no such field", "query, topic, k")),
    ("/search", {"query": "a", "k": "7"}, ("k: it should be a valid integer",)),
    ("/search", {"query": "a", "k": True}, ("k: it should be a valid integer",)),
    ("/search", {"query": "a", "k": 0}, ("k is 0", "1 or more")),
    ("/search", {"query": "a", "topic": ["b"]}, ("query", "or topic")),
    ("/search", {}, ("give query",)),
    ("/search", {"query": " "}, ("text 0 is empty",)),
    ("/search", [], ("the body", "dictionary")),
    ("/search", {"query": "a", "filter": {"a\0b": 1}}, ("filter", "zero byte")),
    ("/items", SOFA | {"attributes": {"a": "b\0"}}, ("attributes: 'a'", "zero byte")),
    ("/search", {"query": "a", "filter": {"a": None}}, ("filter.a",)),
    ("/v1/rerank", {"query": "a"}, ("documents: it is missing",)),
    ("/v2/rerank", {"query": "a", "documents": []}, ("no items are given",)),
    ("/v2/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, ("top_n is 0",)),
    ("/rerank", {"query": "a", "texts": [1]}, ("texts.0",)),
    ("/v1/embeddings", {"input": [1, 2]}, ("input",)),
    ("/items", SOFA | {"id": ""}, ("an item's id",)),
    ("/items", {"items": [SOFA, SOFA]}, ("'sofa'", "comes twice")),
    ("/items", SOFA | {"features": "*"}, ("item 'sofa', features", "no base64")),
    ("/items", SOFA | {"features": SOFA["features"][:-4]}, ("features", "no 4 rows of float16")),
    ("/items", SOFA | {"dtype": "float32"}, ("features are", "wide")),
    ("/items", SOFA | {"dtype": "object"}, ("dtype", "float16")),
    ("/items", SOFA | {"features": [[1e9, 2]] * 4}, ("features, row 0", "float16")),
    ("/items", SOFA | {"features": [[1.0], [1.0, 2.0], [], []]}, ("a row for each box",)),
    ("/items", SOFA | {"boxes": [[0, 0, 1]] * 4}, ("boxes, row 0: 3 numbers",)),
    ("/items", SOFA | {"boxes": [[0, 0, 9, 9]] * 3 + [[0, 0, 900, 9]]}, ("boxes, row 3", "200 × 100")),
    ("/items", SOFA | {"size": [0, 100]}, ("size: 0 × 100",)),
    ("/items", SOFA | {"attributes": {"a": None}}, ("attributes.a",)),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_what_is_wrong_is_422_with_where_and_the_remedy(client, number):
    path, body, said = FAULTS[number]
    status, told = client.ask("PUT" if path == "/items" else "POST", path, body)
    assert status == 422 and told["error_type"] == "invalid", told
    assert all(part in told["error"] for part in said), told["error"]


def test_of_a_hundred_thousand_faults_the_first_are_told(client):
    for path, name in (("/v2/rerank", "documents"), ("/v1/embeddings", "input"), ("/rerank", "texts")):
        status, told = client.ask("POST", path, {"query": "a", name: [0] * 100_000})
        assert status == 422 and f"{name}." in told["error"] and len(told["error"]) < 500


def test_too_much_of_one_request_is_413(client):
    many = {str(name): list(range(100)) for name in range(20)}
    for asked in (
        {"query": "a", "k": 5000},
        {"topic": ["a"] * 17},
        {"query": "." * 2_000_000},
        {"query": "a", "filter": many},
    ):
        status, told = client.ask("POST", "/search", asked)
        assert (status, told["error_type"]) == (413, "too_much")


def test_other_types_paths_and_methods_are_told_so(client):
    status, told, _ = client.send("POST", "/search", b'{"query": "a"}', {"content-type": "text/plain"})
    assert status == 415 and b"application/json" in told
    assert client.ask("GET", "/nowhere")[0] == 404
    status, told = client.ask("GET", "/search")
    assert (status, told["error_type"]) == (405, "wrong_method")
    status, told = client.ask("POST", "/search", {"query": "a"}, **{"x-request-timeout": "soon"})
    assert status == 422 and "x-request-timeout" in told["error"]


def test_a_request_keeps_its_id_and_gets_one(client):
    assert client.send("GET", "/health", headers={"x-request-id": "a-1"})[2]["x-request-id"] == "a-1"
    assert len(client.send("GET", "/health", headers={"x-request-id": "a b"})[2]["x-request-id"]) == 32


def test_faults_of_the_servers_own_are_told_apart(client, monkeypatch):
    def fail(error):
        def item(_):
            raise error

        monkeypatch.setattr(client.door.searcher, "item", item)
        return client.ask("GET", "/items/a")

    assert fail(OSError(errno.ENOSPC, "no room"))[0] == 507
    for error in (OSError("a secret path"), RuntimeError("a secret")):
        status, told = fail(error)
        assert (status, told["error_type"]) == (500, "internal") and "secret" not in told["error"]


ODD = [None, True, 0, -1, 2**63, 1.5, "", "w01", "\0", "'; DROP TABLE items; --", "é" * 3000, [], {}, [[]]]
ODD += [["w01"], [None], {"a": {"b": []}}, {"": 1}, {"$": 1}, {"a.b": [1, "x"]}, {"\0": 1}, "../../etc", SOFA]
PATHS = [("POST", "/search"), ("POST", "/rerank"), ("POST", "/v1/rerank"), ("POST", "/v1/embeddings")]
PATHS += [("PUT", "/items"), ("POST", "/recommend")]
NAMES = {
    "/search": ["query", "topic", "k", "candidates", "rerank", "filter", "exclude", "explain"],
    "/rerank": ["query", "texts", "documents", "raw_scores", "top_n"],
    "/v1/rerank": ["query", "documents", "top_n", "return_documents"],
    "/v1/embeddings": ["input", "encoding_format", "dimensions"],
    "/items": ["id", "features", "boxes", "size", "dtype", "title", "attributes", "items", "image"],
    "/recommend": ["topic", "k", "candidates", "filter", "seen", "diversity", "cap", "cap_by"],
}
SOUND = {
    "/search": {"query": "w01", "k": 1, "candidates": 2},
    "/rerank": {"query": "w01", "documents": [body_of(some_regions(1))]},
    "/v1/rerank": {"query": "w01", "documents": [body_of(some_regions(1))]},
    "/v1/embeddings": {"input": "w01"},
    "/items": SOFA,
    "/recommend": {"topic": ["w01", "w02"], "k": 2, "candidates": 4},
}


@pytest.mark.parametrize("count, seed", [(600, 7), pytest.param(10_000, 8, marks=pytest.mark.thorough)])
def test_thousands_of_hostile_requests_and_no_500(client, count, seed):
    """Sound ones of which one or two fields are odd, bytes that are cut or changed, and ids of all kinds."""
    draw, seen = random.Random(seed), set()
    for _ in range(count):
        method, path = draw.choice(PATHS)
        body = SOUND[path] | {draw.choice(NAMES[path]): draw.choice(ODD) for _ in range(draw.randint(1, 2))}
        raw = bytearray(json.dumps(body).encode())
        if draw.random() < 0.2:
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        if draw.random() < 0.1:
            del raw[draw.randrange(len(raw)) :]
        status, told, _ = client.send(method, path, bytes(raw))
        assert status in (200, 400, 404, 413, 422), (status, told, bytes(raw)[:300])
        assert status == 200 or set(json.loads(told)) == {"error", "error_type"}
        seen.add(status)
    for name in ("%00", "%ff", "..%2f..%2fetc", "a" * 5000, "%F0%9F%9B%8B", "", "%ED%A0%80"):
        for method in ("GET", "DELETE"):
            assert client.send(method, f"/items/~{name}")[0] == 404
    assert {200, 400, 422} <= seen
    assert client.ask("POST", "/search", {"query": QUERY})[0] == 200


def test_bytes_that_are_no_http_end_the_connection_and_nothing_else(client):
    for sent in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"POST /search HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"\x16\x03",
    ):
        with socket.create_connection(("127.0.0.1", client.port), timeout=5) as raw:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            assert b" 500 " not in raw.recv(1000)
    assert client.ask("GET", "/health")[0] == 200


def test_bodies_are_bounded_in_bytes_in_time_and_together(own):
    with (
        open_searcher(*own) as searcher,
        served(searcher, Bodies(most=2000, most_together=3000)) as client,
    ):
        assert client.ask("POST", "/search", {"query": "a" * 3000})[0] == 413
        chunks = iter([b'{"query": "', b"a" * 1500, b"a" * 1500, b'"}'])
        assert client.send("POST", "/search", chunks, JSON)[0] == 413  # its length is not told before
        with socket.create_connection(("127.0.0.1", client.port), timeout=5) as slow:
            slow.sendall(HEAD + b"content-length: 1900\r\n\r\n" + b" " * 1800)
            until(lambda: client.door.bodies.held)
            status, _, headers = client.send("POST", "/search", b" " * 1900)
            assert (status, headers["retry-after"]) == (429, "1")
        until(lambda: client.door.bodies.held == 0)  # it left
        client.door.bodies.seconds = 0.3
        with socket.create_connection(("127.0.0.1", client.port), timeout=5) as slow:
            slow.sendall(HEAD + b"content-length: 1900\r\n\r\n" + b" " * 1800)
            assert b" 408 " in slow.recv(1000)
        client.door.bodies.seconds = 30
        assert client.door.bodies.held == 0
        assert client.ask("POST", "/search", {"query": "a"})[0] == 200


@pytest.fixture
def held(own):
    """A server whose model waits until it is let go."""
    let_go = threading.Event()
    with open_searcher(*own, Options(queued_tokens=400)) as searcher, served(searcher) as client:
        read = searcher._worker._read

        def slow(stored):
            assert let_go.wait(20)
            return read(stored)

        searcher._worker._read = slow
        client.let_go = let_go
        try:
            yield client
        finally:
            let_go.set()


def in_a_thread(client, answers, **headers):
    def ask():
        answers.append(client.ask("POST", "/search", {"query": QUERY}, **headers))

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: client.door.searcher.load.requests)
    return thread


def test_more_than_waits_well_is_429_and_tells_when(held):
    answers = []
    thread = in_a_thread(held, answers)
    status, told, headers = held.send("POST", "/search", json.dumps({"query": QUERY}).encode())
    assert (status, json.loads(told)["error_type"]) == (429, "busy") and int(headers["retry-after"]) >= 1
    held.let_go.set()
    thread.join(20)
    assert answers[0][0] == 200


def test_a_deadline_that_passes_is_504(held):
    status, told = held.ask("POST", "/search", {"query": QUERY}, **{"x-request-timeout": "0.1"})
    assert (status, told["error_type"]) == (504, "late")


def test_of_a_client_that_leaves_no_more_is_done(held):
    body = json.dumps({"query": QUERY}).encode()
    searcher = held.door.searcher
    with socket.create_connection(("127.0.0.1", held.port), timeout=5) as leaving:
        leaving.sendall(HEAD + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: searcher.load.requests)
        (job,) = searcher._line._jobs
    until(job.future.cancelled)
    held.let_go.set()
    until(lambda: not searcher.load.requests)
    until(lambda: b'path="/search",status="499"' in held.send("GET", "/metrics")[1])


def test_nobody_who_searches_waits_for_removals_of_others(own, monkeypatch):
    """Which may wait for a snapshot, however many there are."""
    go = threading.Event()
    with open_searcher(*own) as searcher, served(searcher) as client, ThreadPoolExecutor(6) as others:
        remove = searcher.remove

        def slow(ids):
            assert go.wait(30)
            return remove(ids)

        monkeypatch.setattr(searcher, "remove", slow)
        removed = [others.submit(client.ask, "DELETE", f"/items/{n}") for n in range(6)]
        try:
            until(lambda: len(client.server.server_state.tasks) == 6)
            assert client.ask("POST", "/search", {"query": QUERY})[0] == 200
            assert not any(one.done() for one in removed)
        finally:
            go.set()
        assert [one.result()[0] for one in removed] == [404] * 6


def test_when_it_drains_what_is_under_way_is_answered_and_new_ones_are_503(held):
    answers = []
    thread = in_a_thread(held, answers)
    with socket.create_connection(("127.0.0.1", held.port), timeout=10) as early:
        early.sendall(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n")  # begun before, ended after
        until(lambda: len(held.server.server_state.connections) == 2)
        held.door.draining = True
        early.sendall(b"\r\n")
        assert b" 503 " in early.recv(1000)
    assert held.ask("POST", "/search", {"query": QUERY})[1]["error_type"] == "draining"
    held.server.handle_exit(15, None)
    held.let_go.set()
    thread.join(20)
    assert answers[0][0] == 200


def test_keys(own, tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("# of the shop\n" + "k" * 20 + "\n")
    with open_searcher(*own) as searcher, served(searcher, keys=read_keys(path)) as client:
        assert client.ask("GET", "/health")[0] == 200
        for key in ("", "Bearer", "Bearer wrong", "Basic " + "k" * 20, "Bearer é"):
            headers = {**JSON, "authorization": key.encode("latin-1")}
            status, _, told = client.send("POST", "/search", b'{"query": "a"}', headers)
            assert (status, told["www-authenticate"]) == (401, "Bearer")
        asked = client.ask("POST", "/search", {"query": "a"}, authorization="Bearer " + "k" * 20)
        assert asked[0] == 200
    for text, said in (("# none\n", "no key is in it"), ("short\n", "line 1")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_keys(path)
