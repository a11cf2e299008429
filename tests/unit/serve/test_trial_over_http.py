"""Users are dealt to two models, what they are answered is noted, and what they tell of it is kept."""

import asyncio
import json
import sqlite3
import time

import pytest
from small_search import open_searcher, some_regions, write_searcher
from small_server import JSON, listening, served
from small_trial import TRIAL, tried, write_scene_index
from test_server_answers import body_of

from interbert.ab.experiment import EVERYONE
from interbert.ab.record import Click, Record
from interbert.ab.record import opened as opened_record
from interbert.search.requests import Options
from interbert.search.searcher import Searcher
from interbert.serve.app import app_of
from interbert.serve.body import Bodies
from interbert.serve.door import Door
from interbert.serve.start_trial import application
from interbert.serve.trial import Dealt, Trial

QUERY = {"query": "w01 w02", "k": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in "ab"}
    for folder in folders.values():
        write_scene_index(folder)
    return folders


@pytest.fixture
def client(folders, tmp_path):
    with tried(folders, tmp_path / "events") as client:
        client.events = tmp_path / "events" / "events.sqlite"
        yield client


def search(client, body=QUERY, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    status, told, back = client.send("POST", "/search", json.dumps(body).encode(), {**JSON, **headers})
    return status, json.loads(told), back.get("x-arm"), back.get("x-search")


def kept(client, query):
    with sqlite3.connect(client.events) as database:
        return database.execute(query).fetchall()


def noted(client, count):
    """As soon as that many are on the disk."""
    for _ in range(500):
        if (
            len(found := kept(client, "SELECT arm, user, status, seconds, model FROM searches ORDER BY at"))
            >= count
        ):
            return found
        time.sleep(0.01)
    raise AssertionError("it is not noted")


def test_a_user_meets_one_model_and_it_is_noted(client):
    for number in range(6):
        user = f"user-{number}"
        for _ in range(2):
            status, told, arm, name = search(client, x_user=user)
            assert status == 200 and len(told["results"]) == 3 and len(name) == 32
            assert arm == TRIAL.arm_of(user)
    rows = noted(client, 12)
    assert len({row[1] for row in rows}) == 6 and {row[0] for row in rows} == {"a", "b"}
    assert all(row[2] == 200 and 0 < row[3] < 30 and len(row[4]) == 64 for row in rows)
    assert not any("user-" in row[1] for row in rows), "names of users are not kept"


def test_whoever_names_an_arm_or_no_user_is_no_part_of_it(client):
    assert search(client, x_arm="b", x_user="u")[2:] == ("b", None)
    assert search(client)[2:] == (None, None)
    search(client, x_user="u")
    assert len(noted(client, 1)) == 1


def test_late_and_refused_ones_are_noted_and_faults_of_clients_are_not(client):
    assert search(client, {"query": ""}, x_user="u")[0] == 422
    assert search(client, x_user="u", x_request_timeout="0.000001")[0] == 504
    assert [row[2] for row in noted(client, 1)] == [504]


def test_what_cannot_be_is_refused(client):
    status, told, *_ = search(client, x_user="a b")
    assert (status, told["error_type"]) == (422, "invalid") and "x-user" in told["error"]
    status, told, *_ = search(client, x_arm="c")
    assert status == 422 and "no such arm" in told["error"]


def test_events_belong_to_searches(client):
    *_, name = search(client, x_user="u")
    events = [
        {"type": "exposure", "search": name, "items": ["x", "y"]},
        {"type": "exposure", "search": name, "items": ["z"], "first": 7},
        {"type": "click", "search": name, "item": "y"},
    ]
    assert client.ask("POST", "/events", {"events": events}) == (200, {"exposures": 3, "clicks": 1})
    assert client.ask("POST", "/events", {"events": events}) == (200, {"exposures": 0, "clicks": 0})
    assert kept(client, "SELECT item, place FROM exposures ORDER BY place") == [("x", 0), ("y", 1), ("z", 7)]


@pytest.mark.parametrize(
    "events, status, said",
    [
        ([{"type": "click", "search": "nobody", "item": "x"}], 422, "no search 'nobody'"),
        ([{"type": "look", "search": "n", "item": "x"}], 422, "events.0"),
        ([{"type": "click", "search": "n", "items": ["x"]}], 422, "events.0"),
        ([{"type": "exposure", "search": "n", "items": ["x"], "first": -1}], 422, "first"),
        ([{"type": "exposure", "search": "n", "items": ["x"] * 1001}], 413, "1,001 events"),
        ([{"type": "click", "search": "n", "item": "x"}] * 1001, 413, "1,001 events"),
        ([{"type": "exposure", "search": "n", "items": ["x"] * 1000}] * 11, 413, "11,000 items seen"),
        ([{"type": "click", "search": "n", "item": "x" * 600}], 422, "item"),
        ({}, 422, "events"),
    ],
)
def test_events_that_are_none(client, events, status, said):
    found, told = client.ask("POST", "/events", {"events": events})
    assert found == status and said in told["error"]
    assert kept(client, "SELECT * FROM clicks") == []


def test_it_says_which_models_there_are(client):
    status, told = client.ask("GET", "/trial")
    assert status == 200 and told["events"] and list(told["arms"]) == ["a", "b"]
    assert told["arms"]["b"]["share"] == 0.5 and told["arms"]["b"]["model"]["path"]
    assert "EventsBody" in client.ask("GET", "/openapi.json")[1]["components"]["schemas"]


def test_without_a_folder_there_are_no_events(folders):
    folder = folders["a"]
    with open_searcher(folder, write_searcher(folder)) as searcher, served(searcher) as client:
        assert client.ask("GET", "/trial") == (200, {"events": False, "arms": None})
        status, told = client.ask("POST", "/events", {"events": []})
        assert status == 404 and "--events" in told["error"]
        assert search(client, x_user="u", x_arm="b")[2:] == (None, None)


def test_events_without_a_trial_are_of_one_arm(folders, tmp_path):
    folder = folders["a"]
    with open_searcher(folder, write_searcher(folder)) as searcher:
        door = Door(searcher, Bodies())
        with pytest.raises(ValueError, match="--events DIR"), application(app_of, door, ab=tmp_path):
            pass
        with (
            application(app_of, door, events=tmp_path / "events") as (app, doors),
            listening(app, doors) as client,
        ):
            client.events = tmp_path / "events" / "events.sqlite"
            assert search(client, x_user="u")[2] == "all"
            assert client.ask("GET", "/trial")[1]["arms"] is None
            assert noted(client, 1)[0][0] == "all"


def test_a_search_stands_in_the_line_before_its_answer_is_sent(folders, tmp_path):
    """So that no client can be quicker with a click."""
    record, clicks = Record(tmp_path, EVERYONE.told(), {}), []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def send(message):
        if message["type"] == "http.response.start":
            clicks.append(Click(dict(message["headers"])[b"x-search"].decode(), "sofa"))
        else:
            clicks.append(record.put([clicks[0]]).result(10))

    scope = {"type": "http", "method": "POST", "path": "/search", "headers": [(b"x-user", b"u")]}
    with open_searcher(folders["a"], write_searcher(folders["a"])) as searcher:
        trial = Trial(EVERYONE, {"all": Door(searcher, Bodies())}, record)
        asyncio.run(Dealt(trial, {"all": app})(scope, None, send))
    assert clicks[1] == {"exposures": 0, "clicks": 1}
    record.close()


def test_an_arm_may_have_an_index_and_a_model_of_its_own(folders, tmp_path, monkeypatch):
    def opened(index, model, options=Options(), device=None):  # noqa: B008 (frozen)
        assert model == folders["b"] / "model"
        return open_searcher(index.parent, write_searcher(index.parent))

    monkeypatch.setattr(Searcher, "open", opened)
    b = folders["b"]
    arms = f"{{a: {{share: 0.5}}, b: {{share: 0.5, index: {b}/index, model: {b}/model}}}}"
    text = f"name: some\nsalt: salt\narms: {arms}"
    (tmp_path / "ab.yaml").write_text(text)
    with open_searcher(folders["a"], write_searcher(folders["a"])) as searcher:
        door = Door(searcher, Bodies())
        given = {"events": tmp_path / "events", "ab": tmp_path / "ab.yaml"}
        with application(app_of, door, **given) as (app, doors), listening(app, doors) as client:
            assert len(doors) == 2 and list(client.ask("GET", "/trial")[1]["arms"]) == ["a", "b"]
            item = {"id": "sofa", **body_of(some_regions(4))}
            assert client.ask("PUT", "/items", item, **{"x-arm": "b"})[0] == 200
            assert client.ask("GET", "/items/sofa")[0] == 404
            assert client.ask("DELETE", "/items/sofa", **{"x-arm": "b"})[0] == 200
    _, about = opened_record(tmp_path / "events")
    assert about["indices"] == {name: str(folder / "index") for name, folder in folders.items()}
