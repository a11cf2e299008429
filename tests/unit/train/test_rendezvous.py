"""Ranks that do not find each other are told why."""

import socket

import pytest

from interbert.train.rendezvous import RendezvousError, meet, name_interface


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


def test_alone_is_at_once_and_the_interface_is_named(there, monkeypatch):
    there.close()
    assert meet(0, 1, 5).check(["here/0"])
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    name_interface()
    import os

    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
