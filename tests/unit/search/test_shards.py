"""An index in several shares answers as the whole one does."""

import shutil
import threading

import numpy as np
import pytest
from small_search import open_searcher, some_regions, until, write_index, write_searcher
from small_server import served

from interbert.__main__ import main
from interbert.search.index.index import Index
from interbert.search.index.split import shard_of, split
from interbert.search.requests import Busy, Embed, Item, NoSuchItem, Put, Recommend, Rerank, Search
from interbert.search.shards import Shards, called

TOPIC = ("w01 w02 w03", "w10 w11")
COUNT = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    encoder = write_searcher(folder)
    write_index(folder, encoder)
    with open_searcher(folder, encoder) as searcher:  # some with regions of their own, and of two sellers
        more = [Item(f"own-{n}", some_regions(n), f"own {n}", {"seller": "ab"[n % 2]}) for n in range(10)]
        searcher.submit(Put(tuple(more))).result(30)
    return folder, encoder


@pytest.fixture
def whole_and_parts(made, tmp_path):
    folder, encoder = made
    with Index.open(folder / "index", read_only=True) as index:
        paths = split(index, tmp_path / "parts", COUNT)
    searchers = []
    for number, path in enumerate(paths):
        (tmp_path / str(number)).mkdir()
        shutil.copytree(path, tmp_path / str(number) / "index")
        searchers.append(open_searcher(tmp_path / str(number), encoder))
    shards = Shards([called(searcher) for searcher in searchers])
    with open_searcher(*made) as whole:
        yield whole, shards, searchers
    shards.close()


def test_they_answer_as_the_whole_does(whole_and_parts):
    whole, shards, searchers = whole_and_parts
    assert sum(len(one.index) for one in searchers) == len(whole.index) == shards.items == 70
    assert all(one.index.verify() == [] and len(one.index) > 10 for one in searchers)
    exclude = frozenset(["own-3"])
    for asked in (
        Search(TOPIC, k=7, candidates=70),
        Search(TOPIC, k=7, rerank=False, exclude=exclude),
        Search(TOPIC[:1], k=70, candidates=70, filter={"seller": "a"}),
    ):
        wanted, found = (one.submit(asked).result(30) for one in (whole, shards))
        assert [hit.id for hit in found.hits] == [hit.id for hit in wanted.hits]
        np.testing.assert_allclose(
            [hit.score for hit in found.hits], [hit.score for hit in wanted.hits], atol=1e-4
        )
        assert [hit.title for hit in found.hits] == [hit.title for hit in wanted.hits]
        assert found.reranked == wanted.reranked and found.way == wanted.way
    asked = Recommend(TOPIC, k=9, candidates=70, diversity=0.6, cap=2)
    wanted, found = (one.submit(asked).result(30) for one in (whole, shards))
    assert [hit.id for hit in found.found.hits] == [hit.id for hit in wanted.found.hits]
    assert found.unlikeness == pytest.approx(wanted.unlikeness, abs=1e-3)
    ids = [hit.id for hit in wanted.found.hits]
    asked = Rerank(TOPIC[0], (ids[0], some_regions(77), *ids[1:], some_regions(78)))
    wanted, found = (one.submit(asked).result(30) for one in (whole, shards))
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)
    for asked in (Embed(TOPIC), Embed(TOPIC)):
        wanted, found = (one.submit(asked).result(30) for one in (whole, shards))
        np.testing.assert_allclose(found.vectors, wanted.vectors, atol=1e-5)
    explained = shards.submit(Search(TOPIC[:1], k=1, explain=True)).result(30).hits[0].explanation
    assert explained is not None and explained.words == tuple(TOPIC[0].split())


def test_each_item_is_where_its_id_says(whole_and_parts):
    _, shards, searchers = whole_and_parts
    names = [f"new-{n}" for n in range(12)]
    placed = shards.submit(Put(tuple(Item(name, some_regions(n)) for n, name in enumerate(names)))).result(30)
    assert placed.count == 12
    for name in names:
        assert searchers[shard_of(name, COUNT)].item(name)["id"] == shards.item(name)["id"] == name
    assert shards.remove((*names[:5], "nobody")).count == 5 and shards.items == 77
    with pytest.raises(NoSuchItem):
        shards.item(names[0])


def test_faults_of_one_are_faults_of_all(whole_and_parts):
    _, shards, searchers = whole_and_parts
    for asked, said in (
        (Search(()), "no text"),
        (Rerank("a", ()), "no items"),
        (Rerank("a", ("nobody",)), "nobody"),
        (Put(()), "nothing to put"),
        (Recommend(TOPIC, k=0), "k is 0"),
        (Recommend(TOPIC, k=-5), "k is -5"),
        (Recommend(TOPIC, candidates=5000), "candidates is 5000"),
        (Recommend(TOPIC, diversity=1.5), "from 0"),
        (Recommend(TOPIC, cap=0), "cap is 0"),
    ):
        with pytest.raises(ValueError, match=said):
            shards.submit(asked).result(30)
    future = shards.submit(Search(TOPIC))
    future.cancel()
    searchers[1].close()
    with pytest.raises(Exception, match="closed"):
        shards.submit(Search(TOPIC)).result(30)


def test_of_a_put_that_one_would_refuse_nothing_is_done(whole_and_parts):
    _, shards, searchers = whole_and_parts
    by_shard = {shard_of(name, COUNT): name for name in (f"new-{n}" for n in range(40))}
    good, bad = by_shard[0], by_shard[2]
    regions = some_regions(1)
    items = (Item(good, regions), Item(bad, regions, attributes={"seller": ["a"]}))
    with pytest.raises(ValueError, match="seller"):
        shards.submit(Put(items)).result(30)
    assert shards.items == 70 and searchers[0].load.micro_batches == 0


def test_more_than_can_wait_are_refused_at_once(whole_and_parts, monkeypatch):
    _, shards, searchers = whole_and_parts
    monkeypatch.setattr(shards, "_room", threading.Semaphore(2))
    go = threading.Event()
    shards._shards[0] = lambda name, *given: go.wait(30) and called(searchers[0])(name, *given)
    taken = [shards.submit(Search(TOPIC, k=1)) for _ in range(2)]
    with pytest.raises(Busy):
        shards.submit(Search(TOPIC, k=1))
    go.set()
    assert all(one.result(30).hits for one in taken)
    until(lambda: shards._room._value == 2)
    assert shards.submit(Search(TOPIC, k=1)).result(30).hits


def test_they_are_served_as_one(whole_and_parts):
    whole, shards, _ = whole_and_parts
    with served(shards) as client:
        wanted = whole.submit(Search(TOPIC[:1], k=5, candidates=70)).result(30)
        status, told = client.ask("POST", "/search", {"query": TOPIC[0], "k": 5, "candidates": 70})
        assert status == 200 and [one["id"] for one in told["results"]] == [hit.id for hit in wanted.hits]
        assert client.ask("GET", "/info")[1]["index"]["items"] == 70
        assert b"interbert_items 70" in client.send("GET", "/metrics")[1]
        assert client.ask("GET", "/items/own-4")[1]["title"] == "own 4"
        assert client.ask("GET", "/items/nobody")[0] == 404
        assert client.ask("POST", "/search", {"query": ""})[0] == 422


def test_where_one_has_ended_they_are_not_ready(whole_and_parts):
    _, shards, searchers = whole_and_parts
    with served(shards) as client:
        assert client.ask("GET", "/ready")[0] == 200
        searchers[1].close()
        assert client.ask("GET", "/ready")[0] == 503


def test_nobody_waits_while_shares_are_asked_for_the_models_name(whole_and_parts, monkeypatch):
    """The thread in which all requests are begun and ended asks none of them."""
    _, shards, _ = whole_and_parts
    info, asked_in = shards.info, []
    monkeypatch.setattr(shards, "info", lambda: asked_in.append(threading.current_thread().name) or info())
    with served(shards) as client:
        for path, body in (
            ("/v2/rerank", {"query": TOPIC[0], "documents": ["own-1", "own-2"]}),
            ("/v1/embeddings", {"input": TOPIC[0]}),
        ):
            status, told = client.ask("POST", path, body)
            assert status == 200 and told["model"]
    assert asked_in and all(name.startswith("door") for name in asked_in)


def test_the_verb(made, tmp_path, capsys):
    parts = tmp_path / "parts"
    assert main(["index", "split", str(made[0] / "index"), "--shards", "2", "--output", str(parts)]) == 0
    told = capsys.readouterr().out
    assert f"{parts / '0'}: " in told and f"{parts / '1'}: " in told
    assert main(["index", "split", str(made[0] / "index"), "--shards", "0", "--output", str(parts)]) == 2
    assert main(["index", "split", str(made[0] / "index"), "--shards", "2", "--output", str(parts)]) == 2
    assert "something already" in capsys.readouterr().err


def test_shares_are_whole_or_not_there(made, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Index, "put", full)
    parts = tmp_path / "parts"
    assert main(["index", "split", str(made[0] / "index"), "--shards", "2", "--output", str(parts)]) == 2
    assert "No space left" in capsys.readouterr().err and not parts.exists()
