"""Another model takes the first one's place under load: no request fails, and it can be taken back."""

import json
import signal
import threading
import time
from pathlib import Path

import pytest
from small_search import open_searcher, until, write_index, write_searcher
from small_server import JSON, served

from interbert.search.index.index import OtherModel
from interbert.search.requests import Closing, Options
from interbert.search.searcher import Searcher
from interbert.serve.models import Models
from interbert.serve.running import end_what_is_being_brought

KEY = "a" * 20
ADMIN = {"authorization": f"Bearer {KEY}"}
QUERY = {"query": "w01 w02 w03", "k": 3}
PATIENT = Options(queued_seconds=60)
"""However slow the machine is, nothing is refused for that."""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two models, each with an index of its own."""
    made = {}
    for name, seed in (("first", 3), ("second", 4)):
        folder = tmp_path_factory.mktemp(name)
        made[name] = (folder, write_searcher(folder, seed=seed))
        write_index(*made[name], images=20)
    return made


@pytest.fixture
def client(two):
    made = {str(folder / "index"): (folder, encoder) for folder, encoder in two.values()}

    def opened(index: Path, model: Path) -> Searcher:
        folder, encoder = made[str(index)]
        if model != folder / "model":
            raise OtherModel(f"{index}: made by another model")
        return open_searcher(folder, encoder, PATIENT)

    models = Models(open_searcher(*two["first"], PATIENT), opened)
    with served(models, admin_keys=[KEY]) as client:
        yield client
    models.close()


def words(two, name, model=None):
    return {"index": str(two[name][0] / "index"), "model": str(two[model or name][0] / "model")}


def answer(client):
    status, told = client.ask("POST", "/search", QUERY)
    assert status == 200, told
    return [one["score"] for one in told["results"]]


def test_a_model_is_swapped_and_taken_back_under_load_and_no_request_fails(client, two):
    failed, counted, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            status, told = client.ask("POST", "/search", QUERY)
            if status != 200:
                failed.append((status, told))
            counted.append(status)

    first = answer(client)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        status, told = client.ask("POST", "/admin/swap", words(two, "second"), **ADMIN)
        assert status == 200 and told["model"]["path"] == words(two, "second")["model"]
        second = answer(client)
        assert second != first
        for _ in range(10):
            status, told = client.ask("POST", "/admin/rollback", **ADMIN)
            assert status == 200
            seen = answer(client)
            assert seen == pytest.approx(
                first if told["model"]["path"].startswith(str(two["first"][0])) else second
            )
        # For a while, whichever of them it ended with.
        reached = len(counted)
        while len(counted) < reached + 20:
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert failed == [] and len(counted) > 20


def test_the_one_before_the_one_before_is_closed(client, two, tmp_path, monkeypatch):
    third = tmp_path / "third"
    encoder = write_searcher(third, seed=5)
    write_index(third, encoder, images=20)
    opened = client.door.models._open
    client.door.models._open = lambda index, model: (
        open_searcher(third, encoder) if index == third / "index" else opened(index, model)
    )
    first = client.door.searcher
    assert client.ask("POST", "/admin/swap", words(two, "second"), **ADMIN)[0] == 200
    assert not first._closed
    status, told = client.ask(
        "POST", "/admin/swap", {"index": str(third / "index"), "model": str(third / "model")}, **ADMIN
    )
    assert status == 200 and told["before"]["path"] == words(two, "second")["model"] and first._closed
    answer(client)
    # A request that was about to ask the first one when it went asks the one that came.
    models = client.door.models
    now = models.now

    def going(_):
        models.now = now
        raise Closing("it goes")

    monkeypatch.setattr(first, "submit", going)
    models.now = first
    answer(client)


def test_what_cannot_take_its_place_is_refused_and_nothing_changes(client, two):
    before = answer(client)
    for body, said in (
        (words(two, "second", "first"), "another model"),
        (words(two, "first"), "open already"),
        ({"index": "nowhere"}, "model: it is missing"),
    ):
        status, told = client.ask("POST", "/admin/swap", body, **ADMIN)
        assert status == 422 and said in told["error"], told
    status, told = client.ask("POST", "/admin/rollback", **ADMIN)
    assert status == 422 and "no model before" in told["error"]
    assert answer(client) == before
    for headers in ({}, {"authorization": "Bearer " + "b" * 20}):
        assert client.ask("POST", "/admin/swap", words(two, "second"), **headers)[0] == 401


def test_one_at_a_time(client, two):
    with client.door.models._changing:
        status, told = client.ask("POST", "/admin/swap", words(two, "second"), **ADMIN)
        assert (status, told["error_type"]) == (409, "changing")


def test_who_goes_back_does_not_wait_for_the_one_that_ends(client, two, tmp_path, monkeypatch):
    third = tmp_path / "third"
    encoder = write_searcher(third, seed=5)
    write_index(third, encoder, images=20)
    models, ends, go = client.door.models, threading.Event(), threading.Event()
    opened = models._open
    models._open = lambda index, model: (
        open_searcher(third, encoder) if index == third / "index" else opened(index, model)
    )
    models.swap(*(Path(one) for one in words(two, "second").values()))
    first, second = models.before, models.now
    close = first.close

    def slowly(drain):
        ends.set()
        assert go.wait(30)
        close(drain)

    monkeypatch.setattr(first, "close", slowly)
    swap = threading.Thread(target=models.swap, args=(third / "index", third / "model"))
    swap.start()
    assert ends.wait(30)
    assert client.ask("POST", "/admin/rollback", **ADMIN)[0] == 200 and models.now is second
    status, told = client.ask("POST", "/admin/swap", words(two, "first"), **ADMIN)
    assert status == 422 and "being closed" in told["error"]
    go.set()
    swap.join(30)
    assert first._closed and models._going == []


def test_who_stops_does_not_wait_for_the_one_that_is_brought(two, monkeypatch):
    begun, go, brought = threading.Event(), threading.Event(), []

    def opened(index, model):
        begun.set()
        assert go.wait(60)
        brought.append(open_searcher(*two["second"]))
        return brought[0]

    models = Models(open_searcher(*two["first"]), opened)
    body = json.dumps(words(two, "second")).encode()

    answers = []

    def serve_and_stop():
        with served(models, admin_keys=[KEY]) as client:
            sent = ("POST", "/admin/swap", body, JSON | ADMIN)
            asking = threading.Thread(target=lambda: answers.append(client.send(*sent)))
            asking.start()
            assert begun.wait(30)
            client.server.handle_exit(signal.SIGTERM, None)
            asking.join(30)
        models.close()

    stopping = threading.Thread(target=serve_and_stop)
    stopping.start()
    stopping.join(25)
    assert not stopping.is_alive() and models.now._closed
    assert answers[0][0] == 503 and b"draining" in answers[0][1]
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    end_what_is_being_brought()
    assert ended == [0]  # Python would wait, or abort
    go.set()
    until(lambda: brought and brought[0]._closed)
    assert models.now is not brought[0]


def test_without_keys_for_it_nobody_can(two):
    with open_searcher(*two["first"]) as searcher, served(searcher) as client:
        assert client.ask("POST", "/admin/swap", words(two, "second"))[0] == 404
        assert "/admin/swap" not in client.ask("GET", "/openapi.json")[1]["paths"]


def test_an_index_of_another_model_is_refused_by_the_real_one(two):
    with pytest.raises(OtherModel, match="vectors of another model"):
        Searcher.open(two["first"][0] / "index", two["second"][0] / "model")
