"""Do all ranks of a run find each other? Told by name, before a deadline, where a hang would tell nothing."""

import os
import socket
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from interbert.tasks.doctor import Finding
from interbert.train.distributed import name_rendezvous


def meet(seconds: float) -> tuple[Finding, bool]:
    """What this rank found, and whether it should speak: the first one does, and whoever has failed."""
    launcher = name_rendezvous()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    where = f"rank {rank} on {socket.gethostname()}"
    name = f"{size} ranks by {launcher}"
    deadline = time.monotonic() + seconds
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = dist.TCPStore(
            address, port, size, rank == 0 and not agent, timedelta(seconds=seconds), wait_for_workers=False
        )
        store.set(f"doctor/{rank}", where)
        late = _missing(store, size, deadline)
    except (RuntimeError, ValueError) as error:
        remedy = f"rank 0 listens there: is {address} its address, seen from here, and the port open in the firewall?"
        said = str(error).splitlines()[0][:160]
        return Finding(
            name, "wrong", f"{where} did not reach {address}:{port} in {seconds:.0f} s: {said}", remedy
        ), True
    if late:
        remedy = "look at their hosts: did they start, and do they reach MASTER_ADDR?"
        return Finding(
            name, "wrong", f"never came: ranks {', '.join(map(str, late[:16]))}", remedy
        ), rank == 0
    return _reduce(store, name, rank, size, seconds), rank == 0


def _missing(store: dist.TCPStore, size: int, deadline: float) -> list[int]:
    late = list(range(size))
    while late and time.monotonic() < deadline:
        late = [rank for rank in late if not store.check([f"doctor/{rank}"])]
        time.sleep(0.05)
    return late


def _reduce(store: dist.TCPStore, name: str, rank: int, size: int, seconds: float) -> Finding:
    """An all-reduce on what training would use; the interface is what most often is wrong here."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if backend == "nccl"
        else torch.device("cpu")
    )
    variable = "NCCL_SOCKET_IFNAME" if backend == "nccl" else "GLOO_SOCKET_IFNAME"
    try:
        dist.init_process_group(
            backend,
            store=dist.PrefixStore("doctor", store),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=seconds),
        )
        numbers = torch.full((2**20,), float(rank), device=device)
        dist.all_reduce(numbers)
        began = time.perf_counter()
        dist.all_reduce(numbers)
        took = float(numbers[0]) * 0 + time.perf_counter() - began
        hosts = sorted({store.get(f"doctor/{i}").decode().split()[-1] for i in range(size)})
        seen = f"{backend} all-reduce of 4 MB in {1e3 * took:.1f} ms, hosts: {', '.join(hosts[:8])}"
        return Finding(name, "ok", seen)
    except RuntimeError as error:
        said = str(error).splitlines()[0][:160]
        remedy = f"name the interface that the hosts share: {variable}=eth0 (docs/cluster.md)"
        return Finding(name, "wrong", f"all-reduce failed on rank {rank}: {said}", remedy)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
