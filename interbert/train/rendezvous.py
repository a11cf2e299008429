"""How ranks find each other: by a deadline, and with names where a hang would say nothing."""

import os
import socket
import time
from datetime import timedelta

import psutil
import torch.distributed as dist

PATIENCE = float(os.environ.get("INTERBERT_RENDEZVOUS_SECONDS", "35"))
"""Seconds that the first rank waits for the last one."""


class RendezvousError(ValueError):
    """Ranks that did not meet, and who is missing."""


def meet(rank: int, world_size: int, seconds: float = PATIENCE) -> dist.Store:
    """A store that all ranks have come to; raises on each rank when one does not come."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    where = f"rank {rank} on {socket.gethostname()}"
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    deadline = time.monotonic() + seconds
    wait = timedelta(seconds=seconds)
    try:
        store = dist.TCPStore(
            address, port, world_size, rank == 0 and not agent, wait, wait_for_workers=False
        )
    except (RuntimeError, ValueError) as error:
        if "EADDR" in str(error) or "in use" in str(error):
            raise RendezvousError(
                f"port {port} is taken, perhaps by another run on this host: give this one another --master_port"
            ) from None
        raise RendezvousError(
            f"{where} did not reach {address}:{port} in {seconds:.0f} s ({str(error).splitlines()[0][:120]}). Rank 0 "
            f"listens there: is {address} its address, seen from here, and the port open in the firewall? "
            "--master_port takes another"
        ) from None
    # A group of ranks that was started again meets under another name.
    store = dist.PrefixStore(f"attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    store.set(f"here/{rank}", socket.gethostname())
    missing = list(range(world_size))
    while missing and time.monotonic() < deadline:
        missing = [other for other in missing if not store.check([f"here/{other}"])]
        time.sleep(0.02)
    if missing:
        raise RendezvousError(
            f"{where} waited {seconds:.0f} s, and ranks {', '.join(map(str, missing[:16]))} never came to "
            f"{address}:{port}: did they start, and do they reach it? (INTERBERT_RENDEZVOUS_SECONDS waits longer)"
        )
    return store


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
        if any(address.address == own for address in addresses):
            os.environ["GLOO_SOCKET_IFNAME"] = interface
            return
