"""What users did is kept once, whole, and through a kill."""

import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Future

import pytest
from small_search import until

from interbert.ab.experiment import ArmSettings, Experiment
from interbert.ab.record import Click, Exposure, Record, Searched, UnknownSearch, opened

TRIAL = Experiment(name="some", salt="s", arms={"a": ArmSettings(share=0.5), "b": ArmSettings(share=0.5)})


def searched(id_="one", arm="a", user="u", status=200, seconds=0.1):
    return Searched(id_, time.time(), user, arm, "m" * 64, 7, status, seconds)


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path, TRIAL.told(), {"a": "index", "b": "index"})
    yield record
    record.close()


def rows(folder, table):
    database, _ = opened(folder)
    with database:
        found = database.execute(f"SELECT * FROM {table}").fetchall()
    database.close()
    return found


def test_what_is_told_twice_counts_once(record, tmp_path):
    record.note(searched())
    events = [Exposure("one", "x", 0), Exposure("one", "y", 1), Click("one", "x")]
    assert record.put(events).result(10) == {"exposures": 2, "clicks": 1}
    assert record.put([*events, Click("one", "y")]).result(10) == {"exposures": 0, "clicks": 1}
    assert len(rows(tmp_path, "exposures")) == 2 and len(rows(tmp_path, "clicks")) == 2


def test_it_waits_for_the_disk(record):
    assert record._database.execute("PRAGMA synchronous").fetchone() == (
        2,
    )  # FULL: also where the power goes
    assert record._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_all_of_a_body_or_none(record, tmp_path):
    record.note(searched())
    with pytest.raises(UnknownSearch, match="two"):
        record.put([Exposure("one", "x", 0), Click("two", "x")]).result(10)
    assert rows(tmp_path, "exposures") == []


def test_another_trial_has_another_folder(record, tmp_path):
    record.close()
    for told in (TRIAL.told() | {"salt": "t"}, TRIAL.told() | {"shares": {"a": 0.9, "b": 0.1}}):
        with pytest.raises(ValueError, match="another --events folder"):
            Record(tmp_path, told, {})
    Record(tmp_path, TRIAL.told(), {"a": "moved", "b": "moved"}).close()
    assert opened(tmp_path)[1]["indices"] == {"a": "moved", "b": "moved"}


def test_a_full_disk_is_said_and_the_server_lives(record, tmp_path):
    record.note(searched())
    record.put([Exposure("one", "x", 0)]).result(10)
    pages = record._database.execute("PRAGMA page_count").fetchone()[0]
    record._database.execute(f"PRAGMA max_page_count = {pages}")
    many = [Exposure("one", f"{number:0400d}", number) for number in range(100)]
    with pytest.raises(OSError, match="no room"):
        record.put(many).result(10)
    record._database.execute("PRAGMA max_page_count = 1000000")
    assert record.put([Click("one", "x")]).result(10) == {"exposures": 0, "clicks": 1}


def test_what_is_wrong_with_one_body_is_said_and_the_others_are_kept(record, tmp_path):
    fine, also = ([Exposure("one", item, 0)] for item in "ab")
    bad = [Exposure("one", "x", 0), Exposure("one", "y", 2**70)]  # no number of SQLite's
    futures = [Future() for _ in range(3)]
    record._commit([(searched(), None), *zip((fine, bad, also), futures, strict=True)])
    assert futures[0].result(0) == futures[2].result(0) == {"exposures": 1, "clicks": 0}
    assert isinstance(futures[1].exception(0), OverflowError)
    assert sorted(row[1] for row in rows(tmp_path, "exposures")) == ["a", "b"] and record.lost == 0


def test_whatever_goes_wrong_the_next_are_written(record):
    record.note(searched("\ud800"))  # nothing that UTF-8 has
    until(lambda: record.lost == 1)
    record.note(searched())
    assert record.put([Click("one", "x")]).result(10) == {"exposures": 0, "clicks": 1}


def test_no_events_there(tmp_path):
    with pytest.raises(ValueError, match="--events"):
        opened(tmp_path)
    (tmp_path / "events.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match="no database"):
        opened(tmp_path)
    with pytest.raises(ValueError, match="not a database; name another --events folder"):
        Record(tmp_path, TRIAL.told(), {})


WRITER = """
import sys
from pathlib import Path
from interbert.ab.record import Click, Exposure, Record, Searched
record = Record(Path(sys.argv[1]), {"name": "some"}, {})
for number in range(100000):
    record.note(Searched(str(number), 0.0, "u", "a", "m", 1, 200, 0.1))
    record.put([Exposure(str(number), "x", 0), Click(str(number), "x")]).result(10)
    print(number, flush=True)
"""


def test_what_was_answered_is_there_after_a_kill(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(50):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().split()
    last = int(told[-1]) if told else last
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        kept = [row[0] for row in database.execute("SELECT CAST(search AS INTEGER) FROM clicks ORDER BY 1")]
        assert database.execute("SELECT count(*) FROM exposures").fetchone()[0] == len(kept)
    assert kept[: last + 1] == list(range(last + 1)) and len(kept) <= last + 2
