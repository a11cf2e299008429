"""Where each rank is, by one small file a host that is not forced to disk."""

import json
import os
import time

import pytest

from interbert.train.folder import heartbeats
from interbert.train.folder.heartbeats import Heartbeats, describe_behind, heard, hosts_behind
from interbert.train.folder.run_folder import RunFolder
from interbert.train.folder.witness import last_heard


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes ranks of a host that has this name and a memory of its own."""
    folder = RunFolder(tmp_path / "run")
    folder.make()

    def take(name: str, *ranks: int) -> list[Heartbeats]:
        memory = tmp_path / name
        memory.mkdir(exist_ok=True)
        monkeypatch.setattr(heartbeats, "MEMORY", memory)
        monkeypatch.setenv("SLURMD_NODENAME", name)
        return [Heartbeats(folder, rank) for rank in ranks]

    return folder, take


@pytest.fixture
def shared_writes(monkeypatch):
    """What is written to the run's folder; and nothing is forced to disk."""
    written, real = [], heartbeats._replace

    def note(path, value):
        if path.parent.name == "heartbeats":
            written.append(path.name)
        real(path, value)

    def forced(descriptor):
        raise AssertionError("forced to disk")

    monkeypatch.setattr(heartbeats, "_replace", note)
    monkeypatch.setattr(os, "fsync", forced)
    return written


def test_eight_ranks_of_a_host_are_one_write(host, shared_writes, monkeypatch):
    folder, take = host
    monkeypatch.setattr(heartbeats, "EVERY", 60.0)
    ranks = take("n1", *range(8))
    for step in (1, 2, 3):
        for rank in ranks:
            rank.beat(step, "step")
        (written,) = (folder.path.parent / "n1").rglob("written")
        os.utime(written, (time.time() - 60, time.time() - 60))
    assert len(shared_writes) == 3 and set(shared_writes) == {"rank_0.json"}
    assert sorted(heard(folder)) == list(range(8))
    assert {place["host"] for place in heard(folder).values()} == {"n1"}
    assert not list(folder.heartbeats.glob(".*"))


def test_a_host_is_told_of_though_its_first_rank_is_frozen(host, monkeypatch):
    folder, take = host
    first, second = take("n1", 8, 9)
    first.beat(5, "step")
    monkeypatch.setattr(heartbeats, "EVERY", 0.1)
    time.sleep(0.1)
    second.beat(7, "save")
    places = heard(folder)
    assert places[9]["step"] == 7 and places[8]["step"] == 5
    assert describe_behind(places).startswith(
        "least far, at step 5, longest unheard first: rank 8 (step, heard"
    )
    assert (folder.heartbeats / "rank_8.json").is_file()


def test_what_an_earlier_run_left_is_no_rank_of_this_one(host, monkeypatch):
    folder, take = host
    monkeypatch.setattr(heartbeats, "EVERY", 0.1)
    for rank in take("n1", 0, 1, 2):
        time.sleep(0.11)
        rank.beat(50, "step")
    time.sleep(0.4)
    again = take("n1", 0, 1)
    for rank in again:
        time.sleep(0.11)
        rank.beat(3, "step")
    assert {rank: place["step"] for rank, place in heard(folder).items()} == {0: 3, 1: 3}
    assert last_heard(folder) == 3
    for rank in again:
        rank.close()
    assert last_heard(folder) == 3  # it outlives the ranks


def test_a_memory_that_is_another_users_is_not_trusted(host):
    folder, take = host
    (rank,) = take("n1", 0)
    elsewhere = folder.path / "elsewhere"
    elsewhere.mkdir()
    rank._board.symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        rank.beat(1, "step")
    assert not list(elsewhere.iterdir())


def test_the_last_rank_clears_the_memory(host):
    _, take = host
    ranks = take("n1", 0, 1)
    for rank in ranks:
        rank.beat(1, "step")
    board = ranks[0]._board
    ranks[0].close()
    assert [path.name for path in board.glob("*.json")] == ["1.json"]
    ranks[1].close()
    assert not board.exists()


@pytest.mark.parametrize(
    ("places", "suspected"),
    [
        ({0: ("n1", 5, 0), 8: ("n2", 5, 40)}, ["n2"]),  # frozen, or its host is gone
        ({0: ("n1", 5, 0), 8: ("n2", 4, 0)}, ["n2"]),  # alive, but behind
        ({0: ("n1", 5, 0), 8: ("n2", 5, 0)}, []),  # nobody knows
        ({}, []),
    ],
)
def test_hosts_are_suspected_on_evidence_alone(places, suspected):
    now = time.time()
    told = {
        rank: {"time": now - ago, "step": step, "phase": "step", "host": host}
        for rank, (host, step, ago) in places.items()
    }
    assert hosts_behind(told) == suspected


def test_an_earlier_runs_words_go_and_those_of_a_rank_that_began_first_stay(host):
    folder, take = host
    folder.heartbeats.mkdir(parents=True)
    earlier = folder.heartbeats / "rank_8.json"
    earlier.write_text("{}")
    os.utime(earlier, (1.0, 1.0))
    take("n1", 1)[0].beat(0, "starting")
    take("n1", 0)[0].beat(0, "starting")
    assert [path.name for path in folder.heartbeats.iterdir()] == ["rank_1.json"]


def test_a_half_written_word_is_passed_over(host):
    folder, take = host
    take("n1", 0)[0].beat(4, "step")
    (folder.heartbeats / "rank_8.json").write_text('{"8": {"ti')
    assert list(heard(folder)) == [0]
    json.loads((folder.heartbeats / "rank_0.json").read_text())
