"""How ranks find each other: by a deadline, and with names where a hang would say nothing."""

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil
import torch.distributed as dist

from interbert.ranks.ending import AskedToStop
from interbert.ranks.launcher import ranks_here

log = logging.getLogger(__name__)
Asked = Callable[[], str]
"""The signal by which this rank was asked to stop; nothing if it was not."""

SETTING = "INTERBERT_RENDEZVOUS_SECONDS"
PATIENCE = 600.0
"""Seconds that ranks wait for each other, unless the setting says otherwise: imports from a cold network disk take
minutes. The store keeps it for all that goes through it later."""
FIRST_WORD, EVERY = 30.0, 60.0
"""Seconds until it is said who is missing, and from then on."""
POLL = 0.02


class RendezvousError(ValueError):
    """Ranks that did not meet, and who is missing."""


class Waiting:
    """A deadline, a word at times about what is waited for, and an end when this rank is asked to stop."""

    def __init__(self, seconds: float, asked: Asked) -> None:
        self._began, self._seconds, self._next = time.monotonic(), seconds, FIRST_WORD
        self._asked = asked

    @property
    def waited(self) -> float:
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        return self._seconds - self.waited

    def pause(self, seconds: float = POLL) -> None:
        if signal := self._asked():
            raise AskedToStop(signal)
        time.sleep(seconds)

    def tell(self, what: Callable[[], str]) -> None:
        if self.waited >= self._next:
            self._next += EVERY
            log.warning("%s (after %.0f s of %.0f)", what(), self.waited, self._seconds)


def patience() -> float:
    """Seconds that ranks have to meet."""
    said = os.environ.get(SETTING, "")
    try:
        seconds = float(said or PATIENCE)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{SETTING} is {said!r}: give seconds, such as {PATIENCE:.0f}, or leave it out")
    return seconds


def meet(rank: int, world_size: int, seconds: float | None = None, asked: Asked = str) -> dist.Store:
    """A store that all ranks have come to; raises on each rank when one does not come.

    A group that was started again may find what an earlier one left in the launcher's store. So each process greets
    under a name of its own, and only whom rank 0 answers by that name is there.
    """
    seconds = patience() if seconds is None else seconds
    store = _connect(rank, world_size, seconds, asked)
    name = uuid.uuid4().hex
    if rank == 0:
        meeting, missing = name, _welcome(store, name, world_size, seconds, asked)
    else:
        meeting, missing = _join(store, rank, name, seconds, asked)
    if missing:
        raise RendezvousError(
            f"rank {rank} on {socket.gethostname()} waited {seconds:.0f} s, and ranks "
            f"{_some(missing)} never came to {_address()}: did they start, and do they reach it? "
            f"({SETTING} waits longer)"
        )
    own = dist.PrefixStore(meeting, store)
    own.set(f"here/{rank}", socket.gethostname())
    return own


def _address() -> str:
    return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"


def _some(ranks: list[int]) -> str:
    return ", ".join(map(str, ranks[:16])) + (f" and {len(ranks) - 16} more" if len(ranks) > 16 else "")


def _connect(rank: int, world_size: int, seconds: float, asked: Asked) -> dist.Store:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    wait = timedelta(seconds=seconds)
    try:
        if not hosts:
            _wait_for_listener(rank, address, port, seconds, asked)
        return dist.TCPStore(address, port, world_size, hosts, wait, wait_for_workers=False)
    except (RuntimeError, ValueError, OSError) as error:
        if "EADDR" in str(error) or "in use" in str(error):
            raise RendezvousError(
                f"port {port} is taken, perhaps by another run on this host: give this one another --master_port"
            ) from None
        raise RendezvousError(
            f"rank {rank} on {socket.gethostname()} did not reach {address}:{port} in {seconds:.0f} s "
            f"({str(error).splitlines()[0][:120]}). Rank 0 listens there: is {address} its address, seen from here, "
            "and the port open in the firewall? --master_port takes another"
        ) from None


def _wait_for_listener(rank: int, address: str, port: int, seconds: float, asked: Asked) -> None:
    """The store would wait for it too, but without a word."""
    waiting = Waiting(seconds, asked)
    while True:
        try:
            socket.create_connection((address, port), timeout=max(POLL, min(5.0, waiting.left))).close()
            return
        except OSError:
            if waiting.left <= 0:
                raise
        if os.environ.get("LOCAL_RANK", "0") == "0":  # one voice a host
            waiting.tell(lambda: f"rank {rank} on {socket.gethostname()} does not reach {address}:{port} yet")
        waiting.pause(10 * POLL)


def _welcome(store: dist.Store, meeting: str, world_size: int, seconds: float, asked: Asked) -> list[int]:
    """Rank 0's side: answers each greeting until all have joined; returns who has not."""
    answered = dict.fromkeys(range(1, world_size), b"")
    waiting = Waiting(seconds, asked)
    while answered and waiting.left > 0:
        for rank in list(answered):
            if store.check([f"joined/{meeting}/{rank}"]):
                del answered[rank]
            elif store.check([f"greeting/{rank}"]):
                greeting = store.get(f"greeting/{rank}")
                if greeting != answered[rank]:  # at first perhaps one that an earlier process left
                    store.set(f"answer/{rank}", f"{greeting.decode()} {meeting}")
                    answered[rank] = greeting
        waiting.tell(
            lambda: f"{world_size} ranks meet at {_address()}: missing are {_some(sorted(answered))}"
        )
        waiting.pause()
    store.set(f"missing/{meeting}", json.dumps(sorted(answered)))
    return sorted(answered)


def _join(store: dist.Store, rank: int, name: str, seconds: float, asked: Asked) -> tuple[str, list[int]]:
    """The others' side: the meeting, and who is missing there."""
    store.set(f"greeting/{rank}", name)

    def answer() -> str:
        greeted, _, meeting = store.get(f"answer/{rank}").decode().partition(" ")
        return meeting if greeted == name else ""

    meeting = _wait_for(lambda: store.check([f"answer/{rank}"]) and answer(), seconds, asked)
    if not meeting:
        return "", [0]
    store.set(f"joined/{meeting}/{rank}", "")
    verdict = _wait_for(
        lambda: store.check([f"missing/{meeting}"]) and store.get(f"missing/{meeting}"), seconds + 5, asked
    )
    return meeting, json.loads(verdict) if verdict else [0]


def _wait_for(ask: Callable[[], Any], seconds: float, asked: Asked) -> Any:
    """What it says, once that is something; nothing after these seconds."""
    waiting = Waiting(seconds, asked)
    while not (found := ask()) and waiting.left > 0:
        waiting.pause()
    return found


def hosts_of(store: dist.Store, world_size: int) -> list[str]:
    return sorted({store.get(f"here/{rank}").decode() for rank in range(world_size)})


def name_interface() -> None:
    """gloo takes the interface of the host's name, often the loopback; here: the one that leads to rank 0."""
    if "GLOO_SOCKET_IFNAME" in os.environ:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            asker.connect((os.environ["MASTER_ADDR"], 9))  # sends nothing, but chooses a way
        except OSError:
            return
        own = asker.getsockname()[0]
    for interface, addresses in psutil.net_if_addrs().items():
        found = [address.address for address in addresses if address.family == socket.AF_INET]
        # A host may know its own name only as a loopback address, where no other host reaches it.
        outward = own.startswith("127.") and _several_hosts()
        if own in found if not outward else any(not address.startswith("127.") for address in found):
            os.environ["GLOO_SOCKET_IFNAME"] = interface
            return


def _several_hosts() -> bool:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    return world > ranks_here(os.environ, world)
