"""Ranks that do not find each other are told why."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist
from processes import free_port

from interbert.ranks import rendezvous
from interbert.ranks.ending import AskedToStop
from interbert.ranks.rendezvous import RendezvousError, meet, name_interface, patience


@pytest.fixture
def there(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("", 0))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(listener.getsockname()[1]))
        yield listener


def test_a_port_that_is_taken(there):
    there.listen()
    with pytest.raises(RendezvousError, match=r"port \d+ is taken.*--master_port"):
        meet(0, 1, 2)


def test_who_never_came(there):
    there.close()
    with pytest.raises(RendezvousError, match=r"waited 1 s, and ranks 1, 2 never came to 127.0.0.1"):
        meet(0, 3, 1)


def test_nobody_listens(there):
    there.close()
    with pytest.raises(RendezvousError, match=r"rank 1 on .* did not reach 127.0.0.1.*firewall"):
        meet(1, 2, 1)


def test_what_an_earlier_group_left_in_the_launchers_store_leads_nobody_astray(there, monkeypatch):
    port = there.getsockname()[1]
    there.close()
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    store = dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
    store.set("greeting/1", "who died")
    store.set("answer/1", "who died of-an-earlier-meeting")
    store.set("missing/of-an-earlier-meeting", "[]")
    for _ in range(2):  # and the second group finds what the first one left
        with ThreadPoolExecutor(3) as pool:
            met = list(pool.map(lambda rank: meet(rank, 3, 10), (2, 1, 0)))
        met[0].set("said", "by rank 2")
        assert [store.get("said") for store in met] == [b"by rank 2"] * 3
    with ThreadPoolExecutor(2) as pool:
        assert all("ranks 2 never came" in said for said in pool.map(refusal, (0, 1)))


def refusal(rank) -> str:
    with pytest.raises(RendezvousError) as raised:
        meet(rank, 3, 1)
    return str(raised.value)


def test_who_is_missing_is_said_long_before_the_deadline(there, monkeypatch, caplog):
    there.close()
    monkeypatch.setattr(rendezvous, "FIRST_WORD", 0.4)
    monkeypatch.setattr(rendezvous, "EVERY", 0.3)
    with pytest.raises(RendezvousError):
        meet(0, 3, 2)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) >= 2 and all(
        "3 ranks meet" in text and "missing are 1, 2 (after" in text for text in told
    )
    caplog.clear()
    with pytest.raises(RendezvousError, match="did not reach"):
        meet(1, 2, 1)
    told = [record.getMessage() for record in caplog.records]
    assert told and all("rank 1 on" in text and "does not reach 127.0.0.1" in text for text in told)


def test_a_first_rank_that_comes_late_is_met(there, monkeypatch):
    there.close()
    monkeypatch.setattr(rendezvous, "FIRST_WORD", 0.2)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(meet, 1, 2, 10)
        time.sleep(1)
        first = meet(0, 2, 10)
        assert early.result().check(["here/1"]) and first.check(["here/0"])


def test_whoever_is_asked_to_stop_waits_no_longer(there, monkeypatch):
    """Rank 0 and its peer, each while the other is missing, and the peer once rank 0 knows that a third one is."""
    there.close()
    asked = []
    for rank in (1, 0):  # the first one opens a store, which would go away while the other greets it
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(meet, rank, 2, 5, lambda: "".join(asked))
            time.sleep(0.3)
            assert not waiting.done()
            asked.append("SIGTERM")
            with pytest.raises(AskedToStop, match="SIGTERM"):
                waiting.result(timeout=1)
        asked.clear()
    monkeypatch.setenv("MASTER_PORT", free_port())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, 0, 3, 3)
        waiting = pool.submit(meet, 1, 3, 3, lambda: "".join(asked))
        time.sleep(0.5)
        asked.append("SIGTERM")
        with pytest.raises(AskedToStop):
            waiting.result(timeout=1)
        with pytest.raises(RendezvousError, match="ranks 2 never came"):
            first.result()


def test_one_setting_says_how_long_and_the_store_keeps_it(there, monkeypatch):
    there.close()
    monkeypatch.delenv("INTERBERT_RENDEZVOUS_SECONDS", raising=False)
    assert patience() == 600
    monkeypatch.setenv("INTERBERT_RENDEZVOUS_SECONDS", "77")
    assert patience() == 77 and meet(0, 1).timeout == timedelta(seconds=77)
    for said in ("soon", "-1", "inf"):
        monkeypatch.setenv("INTERBERT_RENDEZVOUS_SECONDS", said)
        with pytest.raises(ValueError, match=f"INTERBERT_RENDEZVOUS_SECONDS is '{said}': give seconds"):
            patience()


def test_alone_is_at_once_and_the_interface_is_named(there, monkeypatch):
    there.close()
    assert meet(0, 1, 5).check(["here/0"])
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    name_interface()
    import os

    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
