"""How ranks find each other: by a deadline, and with names where a hang would say nothing."""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil
import torch.distributed as dist

PATIENCE = float(os.environ.get("INTERBERT_RENDEZVOUS_SECONDS", "35"))
"""Seconds that the first rank waits for the last one."""
POLL = 0.02


class RendezvousError(ValueError):
    """Ranks that did not meet, and who is missing."""


def meet(rank: int, world_size: int, seconds: float = PATIENCE) -> dist.Store:
    """A store that all ranks have come to; raises on each rank when one does not come.

    A group that was started again may find what an earlier one left in the launcher's store. So each process greets
    under a name of its own, and only whom rank 0 answers by that name is there.
    """
    store = _connect(rank, world_size, seconds)
    name = uuid.uuid4().hex
    if rank == 0:
        meeting, missing = name, _welcome(store, name, world_size, seconds)
    else:
        meeting, missing = _join(store, rank, name, seconds)
    if missing:
        raise RendezvousError(
            f"rank {rank} on {socket.gethostname()} waited {seconds:.0f} s, and ranks "
            f"{', '.join(map(str, missing[:16]))} never came to {_address()}: did they start, and do they reach it? "
            "(INTERBERT_RENDEZVOUS_SECONDS waits longer)"
        )
    own = dist.PrefixStore(meeting, store)
    own.set(f"here/{rank}", socket.gethostname())
    return own


def _address() -> str:
    return f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"


def _connect(rank: int, world_size: int, seconds: float) -> dist.Store:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    wait = timedelta(seconds=seconds)
    try:
        return dist.TCPStore(address, port, world_size, hosts, wait, wait_for_workers=False)
    except (RuntimeError, ValueError) as error:
        if "EADDR" in str(error) or "in use" in str(error):
            raise RendezvousError(
                f"port {port} is taken, perhaps by another run on this host: give this one another --master_port"
            ) from None
        raise RendezvousError(
            f"rank {rank} on {socket.gethostname()} did not reach {address}:{port} in {seconds:.0f} s "
            f"({str(error).splitlines()[0][:120]}). Rank 0 listens there: is {address} its address, seen from here, "
            "and the port open in the firewall? --master_port takes another"
        ) from None


def _welcome(store: dist.Store, meeting: str, world_size: int, seconds: float) -> list[int]:
    """Rank 0's side: answers each greeting until all have joined; returns who has not."""
    answered = dict.fromkeys(range(1, world_size), b"")
    deadline = time.monotonic() + seconds
    while answered and time.monotonic() < deadline:
        for rank in list(answered):
            if store.check([f"joined/{meeting}/{rank}"]):
                del answered[rank]
            elif store.check([f"greeting/{rank}"]):
                greeting = store.get(f"greeting/{rank}")
                if greeting != answered[rank]:  # at first perhaps one that an earlier process left
                    store.set(f"answer/{rank}", f"{greeting.decode()} {meeting}")
                    answered[rank] = greeting
        time.sleep(POLL)
    store.set(f"missing/{meeting}", json.dumps(sorted(answered)))
    return sorted(answered)


def _join(store: dist.Store, rank: int, name: str, seconds: float) -> tuple[str, list[int]]:
    """The others' side: the meeting, and who is missing there."""
    store.set(f"greeting/{rank}", name)

    def answer() -> str:
        greeted, _, meeting = store.get(f"answer/{rank}").decode().partition(" ")
        return meeting if greeted == name else ""

    meeting = _wait_for(lambda: store.check([f"answer/{rank}"]) and answer(), seconds)
    if not meeting:
        return "", [0]
    store.set(f"joined/{meeting}/{rank}", "")
    verdict = _wait_for(
        lambda: store.check([f"missing/{meeting}"]) and store.get(f"missing/{meeting}"), seconds + 5
    )
    return meeting, json.loads(verdict) if verdict else [0]


def _wait_for(ask: Callable[[], Any], seconds: float) -> Any:
    """What it says, once that is something; nothing after these seconds."""
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(POLL)
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
    world = os.environ.get("WORLD_SIZE", "1")
    local = os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("LOCAL_SIZE", world))
    return int(world) > int(local)
