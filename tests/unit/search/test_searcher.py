"""Two stages and one line: scores are those of every pair by itself, whoever else is asking."""

import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from small_search import open_searcher, some_regions, until, write_index, write_searcher
from small_world import WordTokenizer, open_world

from interbert.corpus.tokens import TokenTable
from interbert.kernels.cpu import teams
from interbert.search.encoder import text_vectors_of
from interbert.search.engine.jobs import Job
from interbert.search.requests import (
    Busy,
    Closing,
    Embed,
    Item,
    Late,
    NoSuchItem,
    Options,
    Put,
    Recommend,
    Rerank,
    Search,
    TooMuch,
)
from interbert.search.searcher import Searcher
from interbert.tasks.retrieval.pairs import PairScorer

QUERIES = ["w01 w02 w03", "w10 w11", "w05 w06 w07 w08 w09"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    encoder = write_searcher(folder)
    write_index(folder, encoder)
    return folder, encoder


@pytest.fixture
def searcher(made, request):
    """However slow the machine is, nothing is refused for that."""
    options = replace(getattr(request, "param", Options()), queued_seconds=60)
    with open_searcher(*made, options) as searcher:
        yield searcher


@pytest.fixture(scope="module")
def truth(made):
    """id -> probability, of each query, of every pair by itself."""
    folder, encoder = made
    ids = WordTokenizer().encode(QUERIES, 12)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])])
    table = TokenTable(np.concatenate(ids).astype(np.int32), offsets)
    with open_world(folder, images=60) as corpus:
        scorer = PairScorer(
            encoder.model,
            corpus,
            table,
            np.arange(60),
            np.arange(len(QUERIES)),
            token_budget=200,
            max_regions=10,
            text_of=QUERIES.__getitem__,
        )
        odds = scorer.matrix().T
        names = [corpus.image_id(image) for image in range(60)]
    return [dict(zip(names, (1 / (1 + np.exp(-row))).tolist(), strict=True)) for row in odds]


def test_who_ranks_given_items_pays_for_no_vectors(searcher, made, truth, monkeypatch):
    _, encoder = made
    asked, plain = [], encoder.vectors
    monkeypatch.setattr(
        encoder, "vectors", lambda name, side: asked.append(len(side.lengths)) or plain(name, side)
    )
    names = list(truth[0])[:3]
    ranked = searcher.submit(Rerank(QUERIES[0], tuple(names))).result(30)
    assert np.allclose(ranked.scores, [truth[0][name] for name in names], atol=1e-4) and not asked
    both = [searcher.submit(one) for one in (Rerank(QUERIES[1], tuple(names)), Search((QUERIES[0],), k=5))]
    assert both[1].result(30).hits and both[0].result(30).scores and asked == [1]


def test_ranked_again_candidates_have_the_whole_models_scores(searcher, made, truth):
    _, encoder = made
    for query, wanted in zip(QUERIES, truth, strict=True):
        found = searcher.submit(Search((query,), k=5, candidates=20)).result(30)
        assert (found.way, found.reranked, len(found.hits)) == ("distilled", 20, 5)
        assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
        assert all(hit.score == pytest.approx(wanted[hit.id], abs=1e-4) for hit in found.hits)
        numbers = searcher.index.truth.numbers()
        vectors = searcher.vectors(numbers.tolist())
        (query_W,) = text_vectors_of(encoder, [np.array(WordTokenizer().encode([query], 12)[0])], 100)
        nearest = numbers[np.argsort(-(vectors @ query_W))[:20]]
        best = max(searcher.index.rows(nearest.tolist()).values(), key=lambda row: wanted[row.id])
        assert found.hits[0].id == best.id
        assert set(found.seconds) == {"queue", "first_stage", "model", "total"}


def test_all_as_candidates_is_the_exhaustive_order(searcher, truth):
    found = searcher.submit(Search((QUERIES[0],), k=60)).result(30)
    assert [hit.id for hit in found.hits] == sorted(truth[0], key=lambda id_: -truth[0][id_])


def test_the_first_stage_alone(searcher):
    found = searcher.submit(Search((QUERIES[0],), k=7, rerank=False)).result(30)
    scores = [hit.score for hit in found.hits]
    assert found.reranked == 0 and len(scores) == 7 and scores == sorted(scores, reverse=True)
    assert scores == [hit.first_score for hit in found.hits]


def test_a_topic_is_the_mean_of_its_texts(searcher, truth):
    found = searcher.submit(Search(tuple(QUERIES), k=60)).result(30)
    odds = {id_: np.mean([np.log(row[id_] / (1 - row[id_])) for row in truth]) for id_ in truth[0]}
    assert found.reranked == 180
    for hit in found.hits:
        assert np.log(hit.score / (1 - hit.score)) == pytest.approx(odds[hit.id], abs=1e-2)


@pytest.mark.parametrize("searcher", [Options(token_budget=60, queued_tokens=20_000)], indirect=True)
def test_many_clients_get_what_each_would_get_alone(searcher, truth):
    """In micro-batches of a few pairs, which hold pairs of several requests."""
    futures = [searcher.submit(Search((QUERIES[n % 3],), k=3, candidates=30)) for n in range(12)]
    for number, future in enumerate(futures):
        for hit in future.result(60).hits:
            assert hit.score == pytest.approx(truth[number % 3][hit.id], abs=1e-4)
    load = searcher.load
    assert load.pairs == 12 * 30 and load.requests == 0 and load.tokens == 0
    assert load.micro_batches < 12 * 30 and load.tokens_per_second > 0


def test_items_by_id_and_regions_brought_along_are_ranked_alike(searcher, truth):
    ids = tuple(truth[0])[:4]
    regions = tuple(searcher.item(id_)["regions"] for id_ in ids)
    mixed = (ids[0], regions[1], ids[2], regions[3])
    ranked = searcher.submit(Rerank(QUERIES[0], mixed)).result(30)
    assert ranked.scores == pytest.approx([truth[0][id_] for id_ in ids], abs=1e-4)
    assert ranked.tokens > 0


def test_filter_and_exclude(searcher):
    everything = searcher.submit(Search((QUERIES[0],), k=3)).result(30).hits
    found = searcher.submit(Search((QUERIES[0],), k=3, exclude=frozenset([everything[0].id]))).result(30)
    assert everything[0].id not in {hit.id for hit in found.hits}
    assert searcher.submit(Search((QUERIES[0],), filter={"seller": "x"})).result(30).hits == ()


def test_put_found_removed(made):
    folder, encoder = made
    with open_searcher(folder, encoder) as searcher:
        regions = some_regions()
        placed = searcher.submit(Put((Item("new", regions, "a title", {"seller": "s"}),))).result(30)
        assert placed.count == 1 and placed.sequence == searcher.info()["index"]["sequence"]
        (hit,) = searcher.submit(Search((QUERIES[0],), filter={"seller": "s"})).result(30).hits
        assert (hit.id, hit.title, hit.attributes) == ("new", "a title", {"seller": "s"})
        own = searcher.submit(Rerank(QUERIES[0], ("new", regions))).result(30).scores
        assert own[0] == pytest.approx(own[1], abs=1e-5)
        kept = searcher.item("new")["regions"]
        assert np.array_equal(kept.features, regions.features) and np.array_equal(kept.boxes, regions.boxes)
        assert kept.size == (200, 100)
        assert searcher.remove(["new", "nobody"]).count == 1
        with pytest.raises(NoSuchItem):
            searcher.item("new")


def test_whoever_computes_beside_the_model_gives_back_its_threads(made, monkeypatch):
    folder, encoder = made
    monkeypatch.setattr("interbert.search.engine.line.REST", 0.01)
    gave = []
    monkeypatch.setattr(teams, "give_back", lambda: gave.append(threading.current_thread().name))
    with open_searcher(folder, encoder) as searcher:
        assert gave[0] == threading.current_thread().name  # before the model's first micro-batch
        searcher.submit(Put((Item("brief", some_regions()),))).result(30)
        searcher.remove(["brief"])
        until(lambda: "search-model" in gave and any(name.startswith("search-writer") for name in gave))


def test_an_explanation_says_where_words_look(searcher):
    (hit,) = searcher.submit(Search((QUERIES[0],), k=1, explain=True)).result(30).hits
    told, regions = hit.explanation, searcher.item(hit.id)["regions"]
    assert told is not None and len(told.words) == 3
    weights, boxes = np.array(told.weights), np.array(told.boxes)
    kept = min(10, len(regions.boxes))
    assert weights.shape == (3, kept) and boxes.shape == (kept, 4)
    assert (weights > 0).all() and (weights.sum(1) < 1).all() and boxes.max() <= 1.01


def test_vectors_of_texts_and_images(searcher, made):
    texts = searcher.submit(Embed(texts=tuple(QUERIES))).result(30)
    assert texts.vectors.shape == (3, 32) and np.allclose(np.linalg.norm(texts.vectors, axis=1), 1, atol=1e-4)
    id_ = next(iter(searcher.index.rows([1]).values())).id
    images = searcher.submit(Embed(images=(searcher.item(id_)["regions"],))).result(30)
    assert np.allclose(images.vectors, searcher.vectors([1]), atol=2e-3)


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (Search(()), "no text"),
        (Search(("  ",)), "empty"),
        (Search(("a\ud800",)), "surrogate"),
        (Search(("a",), k=0), "k is 0"),
        (Search(("a",), k=5000), "most"),
        (Search(("a",), candidates=0), "candidates is 0"),
        (Recommend(("a",), candidates=0), "candidates is 0"),
        (Search(("a",), filter={"a\0": 1}), "zero byte"),
        (Search(("a",), filter={"a": 2**64}), "64 bits"),
        (Recommend(("a",), diversity=1.5), "from 0"),
        (Recommend(("a",), cap=0), "cap is 0"),
        (Search(("a",), filter={"a": []}), "filter"),
        (Search(("a",) * 17), "16 are taken"),
        (Search(("a", "." * 10_001)), "text 1 has 10,001 characters"),
        (Rerank("a", ()), "no items"),
        (Rerank("a", ("nobody",)), "nobody"),
        (Rerank("a", (some_regions(regions=0),)), "no regions"),
        (Embed(), "texts, or images"),
        (Put((Item("", some_regions()),)), "1 to 512"),
        (Put((Item("a", some_regions()), Item("a", some_regions()))), "twice"),
        (Put((Item("a", some_regions(), attributes={"a": [1]}),)), "attributes"),
    ],
)
def test_faults_are_said_at_once(searcher, request_, fault):
    with pytest.raises(ValueError, match=fault):
        searcher.submit(request_)
    assert searcher.load.requests == 0


def test_numbers_that_are_none_are_refused(searcher):
    regions = some_regions()
    regions.features[1, 2] = np.inf
    with pytest.raises(ValueError, match="features, row 1"):
        searcher.submit(Rerank("a", (regions,)))


class Held:
    """The model's thread waits until it is let go."""

    def __init__(self, searcher: Searcher, monkeypatch) -> None:
        self.go, self.reached, encoder = threading.Event(), threading.Event(), searcher._encoder
        texts = encoder.text_side

        def wait(ids):
            self.reached.set()
            assert self.go.wait(30)
            return texts(ids)

        monkeypatch.setattr(encoder, "text_side", wait)


class Sought:
    """Searches with a filter take until they are let go, as those do whose items lie far from the query."""

    def __init__(self, searcher: Searcher, monkeypatch) -> None:
        self.go, self.reached, search = threading.Event(), threading.Event(), searcher.index.search

        def slow(query, count, among, without, over):
            if among is not None:
                self.reached.set()
                until(lambda: self.go.is_set() or over())
            return search(query, count, among, without, over)

        monkeypatch.setattr(searcher.index, "search", slow)


def test_a_long_search_keeps_nobody_from_the_model(searcher, monkeypatch):
    sought, far = Sought(searcher, monkeypatch), {"what": ["x"]}
    monkeypatch.setattr(searcher.index.truth, "filtered", lambda *_: searcher.index.truth.numbers())
    long = searcher.submit(Search((QUERIES[0],), k=3, candidates=10, filter=far))
    assert sought.reached.wait(30)
    assert len(searcher.submit(Search((QUERIES[1],), k=3, candidates=10)).result(30).hits) == 3
    gone = searcher.submit(Search((QUERIES[0],), k=3, filter=far))
    late = searcher.submit(Search((QUERIES[0],), k=3, filter=far, seconds=0.05))
    assert gone.cancel() and not long.done() and len(searcher._line) >= 2
    time.sleep(0.1)
    sought.go.set()
    assert len(long.result(30).hits) == 3 and long.result().reranked == 10
    with pytest.raises(Late):
        late.result(30)
    until(lambda: len(searcher._line) == 0)
    assert (searcher.load.dropped, searcher.load.late) == (1, 1)


@pytest.mark.parametrize("drain", [0.0, 30.0])
def test_closing_waits_for_a_long_search_as_long_as_it_waits_for_any(made, monkeypatch, drain):
    with open_searcher(*made, Options(queued_seconds=60)) as searcher:
        sought = Sought(searcher, monkeypatch)
        monkeypatch.setattr(searcher.index.truth, "filtered", lambda *_: searcher.index.truth.numbers())
        long = searcher.submit(Search((QUERIES[0],), k=3, candidates=10, filter={"what": "x"}))
        assert sought.reached.wait(30)
        if drain:
            threading.Timer(0.2, sought.go.set).start()
        searcher.close(drain)
        if drain:
            assert len(long.result(1).hits) == 3
        else:
            with pytest.raises(Closing):
                long.result(1)


def test_what_a_departed_client_wanted_is_not_done(searcher, monkeypatch):
    held = Held(searcher, monkeypatch)
    first = searcher.submit(Search((QUERIES[0],), k=2, candidates=10))
    assert held.reached.wait(30)
    gone = searcher.submit(Search((QUERIES[1],), k=2, candidates=10))
    assert gone.cancel()
    held.go.set()
    assert len(first.result(30).hits) == 2
    searcher.submit(Embed(texts=("w01",))).result(30)
    assert searcher.load.pairs == 10 and searcher.load.dropped == 1


def test_an_answer_that_comes_too_late_is_not_worked_for(searcher, monkeypatch):
    held = Held(searcher, monkeypatch)
    first = searcher.submit(Search((QUERIES[0],), k=2, candidates=10))
    assert held.reached.wait(30)
    late = searcher.submit(Search((QUERIES[1],), k=2, candidates=10, seconds=0.01))
    time.sleep(0.05)
    held.go.set()
    first.result(30)
    with pytest.raises(Late):
        late.result(30)
    assert searcher.load.pairs == 10 and searcher.load.late == 1


@pytest.mark.parametrize("searcher", [Options(queued_tokens=1000)], indirect=True)
def test_more_than_may_wait_is_refused(searcher, monkeypatch):
    held = Held(searcher, monkeypatch)
    futures = [searcher.submit(Search((QUERIES[0],), k=2, candidates=30))]
    assert held.reached.wait(30)
    with pytest.raises(Busy) as refused:
        for _ in range(10):
            futures.append(searcher.submit(Search((QUERIES[0],), k=2, candidates=30)))
    assert refused.value.retry_after > 0 and 1 <= len(futures) < 10
    assert searcher.load.refused == 1
    held.go.set()
    assert all(len(future.result(30).hits) == 2 for future in futures)


def test_closing_fails_what_is_left_and_drains_what_it_may(made, monkeypatch):
    searcher = open_searcher(*made, Options(queued_seconds=60))
    futures = [searcher.submit(Search((QUERIES[0],), candidates=30)) for _ in range(4)]
    searcher.close(drain=60)
    assert all(future.result(0).hits for future in futures)
    with pytest.raises(Closing):
        searcher.submit(Search(("w01",)))
    searcher = open_searcher(*made)
    held = Held(searcher, monkeypatch)
    future = searcher.submit(Search((QUERIES[0],)))
    assert held.reached.wait(30)
    threading.Timer(0.2, held.go.set).start()
    searcher.close()
    with pytest.raises(Closing):
        future.result(0)


def test_one_requests_fault_is_not_the_others(searcher, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(searcher.index, "put", full)
    put = searcher.submit(Put((Item("a", some_regions()),)))
    search = searcher.submit(Search((QUERIES[0],), k=2))
    with pytest.raises(OSError, match="No space"):
        put.result(30)
    assert len(search.result(30).hits) == 2


@pytest.mark.parametrize("searcher", [Options(most_pairs=100)], indirect=True)
def test_more_pairs_than_one_request_may_be_are_refused(searcher):
    """Whoever waits behind it waits for all of them."""
    assert searcher.submit(Search((QUERIES[0],) * 2, candidates=50)).result(30).reranked == 100
    with pytest.raises(TooMuch, match="51 candidates, are 102 pairs"):
        searcher.submit(Search((QUERIES[0],) * 2, candidates=51))


def test_a_filter_that_takes_longer_than_there_is_time_is_ended(searcher, monkeypatch):
    monkeypatch.setattr("interbert.search.index.timed.INSTRUCTIONS", 10)
    filtered, ended = searcher.index.truth.filtered, []

    def slow(*given):
        monkeypatch.setattr(Job, "late", lambda _: True)
        try:
            return filtered(*given)
        except TimeoutError:
            ended.append(True)
            raise

    with monkeypatch.context() as patch, pytest.raises(Late):
        patch.setattr(searcher.index.truth, "filtered", slow)
        searcher.submit(Search((QUERIES[0],), filter={"a": 1}, seconds=30)).result(30)
    monkeypatch.undo()
    assert ended
    assert searcher.submit(Search((QUERIES[0],), filter={"a": 1}, seconds=60)).result(30).hits == ()


def test_candidates_that_are_sought_beyond_the_deadline_are_sought_no_more(searcher, monkeypatch):
    search = searcher.index.search

    def slow(*given):
        monkeypatch.setattr(Job, "late", lambda _: True)
        return search(*given)

    monkeypatch.setattr(searcher.index, "search", slow)
    with pytest.raises(Late, match="candidates"):
        searcher.submit(Search((QUERIES[0],), k=2, seconds=30)).result(30)
    assert searcher.load.pairs == 0


def test_nobody_waits_for_the_disk_of_another(searcher, monkeypatch):
    """And a put whose client left before its turn is not done."""
    reached, go, put = threading.Event(), threading.Event(), searcher.index.put

    def slow(additions):
        reached.set()
        assert go.wait(30)
        return put(additions)

    monkeypatch.setattr(searcher.index, "put", slow)
    kept = searcher.submit(Put((Item("kept", some_regions(1)),)))
    assert reached.wait(30)
    left = searcher.submit(Put((Item("left", some_regions(2)),)))
    assert len(searcher.submit(Search((QUERIES[0],), k=2)).result(30).hits) == 2
    assert searcher.load.requests == 2 and searcher.load.tokens > 0
    until(lambda: len(searcher._line._written) == 2)
    searcher._line.speed = 1e-3  # at which what is written would take an hour
    assert len(searcher.submit(Search((QUERIES[0],), k=2)).result(30).hits) == 2
    assert left.cancel() and not kept.cancel()
    go.set()
    kept.result(30)
    with pytest.raises(NoSuchItem):
        searcher.item("left")
    assert searcher.remove(("kept",)).count == 1
    until(lambda: not searcher.load.requests)  # a put leaves the line behind its answer


def test_an_item_that_cannot_be_read_is_the_fault_of_those_who_ask_for_it(searcher, monkeypatch):
    hits = searcher.submit(Search((QUERIES[0],), k=60, rerank=False)).result(30).hits
    broken, read = searcher._plans.row_of(hits[0].id).tokens_at, searcher.index.tokens.read

    def partly(places):
        if any(at == broken for at, _ in places):
            raise OSError("rows are not there")
        return read(places)

    monkeypatch.setattr(searcher.index.tokens, "read", partly)
    held = Held(searcher, monkeypatch)  # so that all of them meet in one micro-batch
    first = searcher.submit(Rerank(QUERIES[0], (hits[1].id,)))
    assert held.reached.wait(30)
    others = [searcher.submit(Rerank(QUERIES[0], (hit.id,))) for hit in hits[:4]]
    held.go.set()
    assert first.result(30).scores
    with pytest.raises(OSError, match="not there"):
        others[0].result(30)
    assert all(other.result(30).scores for other in others[1:])


def test_a_recommendation_is_of_what_fits_unlike_each_other_and_of_many_sellers(made, tmp_path):
    folder, encoder = made
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    with open_searcher(copied, encoder) as searcher:
        for number in range(6):  # six of one seller, five of them alike
            regions = some_regions(7 if number else 8)
            searcher.submit(Put((Item(f"s-{number}", regions, attributes={"seller": "s"}),))).result(30)
        topic = tuple(QUERIES[:2])
        fit = searcher.submit(Recommend(topic, k=8, candidates=66, diversity=0)).result(30)
        by_fit = searcher.submit(Search(topic, k=66, candidates=66)).result(30)
        assert [hit.id for hit in fit.found.hits] == [hit.id for hit in by_fit.hits[:8]]
        apart = searcher.submit(Recommend(topic, k=8, candidates=66, diversity=0.9)).result(30)
        assert apart.unlikeness > fit.unlikeness
        assert apart.found.hits[0].id == fit.found.hits[0].id and apart.found.reranked == 2 * 66
        asked = Recommend(topic, k=66, candidates=66, diversity=0.5, cap=2, filter={"seller": "s"})
        assert len(searcher.submit(asked).result(30).found.hits) == 2
        seen = frozenset(hit.id for hit in fit.found.hits)
        fresh = searcher.submit(Recommend(topic, k=60, candidates=66, exclude=seen)).result(30)
        assert not seen & {hit.id for hit in fresh.found.hits} and len(fresh.found.hits) == 58
