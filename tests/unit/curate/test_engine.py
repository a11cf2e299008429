"""Workers that die are noticed, and cost what they were at."""

import json

import killed_work
import pytest

from interbert.curate.engine.local import run_units
from interbert.curate.engine.parts import Part, whole


def run(tmp_path, stage: str, seconds: float = 30):
    watch = run_units(killed_work.work, tmp_path, stage, [0, 1], 2, seconds)
    return watch, [json.loads((tmp_path / f"{number}.json").read_text()) for number in (0, 1)]


def test_a_place_that_kills_twice_is_passed_over_and_told(tmp_path):
    watch, done = run(tmp_path, "dies")
    for places in done:
        assert [place for place, fate in places if fate == "done"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert places[3] == [3, "passed over: 2 workers were killed by SIGKILL (out of memory?) there"]
    assert len(watch.told) == 4 and "killed by SIGKILL" in watch.told[0]


def test_a_worker_that_is_killed_once_loses_nothing(tmp_path):
    watch, done = run(tmp_path, "once")
    assert len(watch.told) == 1 and all(fate == "done" for places in done for _, fate in places)


def test_a_place_that_takes_too_long_is_passed_over(tmp_path):
    # Of a busy machine a place that does nothing may take a second, too.
    watch, done = run(tmp_path, "sticks", seconds=4.0)
    assert all(places[5] == [5, "passed over: not done after 4 seconds"] for places in done)
    assert all(len(places) == 10 for places in done) and len(watch.told) == 2


def test_a_fault_of_the_input_stops_the_work_however_much_it_says(tmp_path):
    with pytest.raises(ValueError, match="is broken") as caught:
        run(tmp_path, "fails")
    assert str(caught.value).endswith(" and broken" * killed_work.MUCH)


def test_workers_that_never_begin_stop_the_work(tmp_path):
    with pytest.raises(ValueError, match="too little memory"):
        run_units(killed_work.dies_at_once, tmp_path, "x", [0], 1, 30)


def test_a_part_is_whole_when_its_files_are(tmp_path):
    part = Part(tmp_path, "read", 4)
    part.folder.mkdir()
    part.write_lines("a.jsonl.gz", [{"text": "é"}, {"text": "b"}])
    assert not whole(part)
    part.finish({"counts": {}}, [part.path("a.jsonl.gz")])
    assert whole(part) and [one["text"] for one in part.lines("a.jsonl.gz")] == ["é", "b"]
    part.path("a.jsonl.gz").write_bytes(b"")
    assert not whole(part)
