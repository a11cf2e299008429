"""Do the ranks that were started find each other, and can they reduce a number together?"""

import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from interbert.commands.doctor.findings import Finding
from interbert.ranks.distributed import choose_device, name_rendezvous
from interbert.ranks.rendezvous import RendezvousError, hosts_of, meet, name_interface, patience


def try_meeting(seconds: float | None) -> tuple[Finding, bool]:
    """What this rank found, and whether it should speak: the first one does, and whoever did not arrive."""
    launcher = name_rendezvous()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    name = f"{size} ranks by {launcher}"
    seconds = patience() if seconds is None else seconds
    try:
        device = choose_device()
    except ValueError as error:
        return Finding(name, "wrong", str(error)), True
    try:
        store = meet(rank, size, seconds)
    except RendezvousError as error:
        return Finding(name, "wrong", str(error)), rank == 0 or "did not reach" in str(error)
    return _reduce(store, name, rank, size, seconds, device), rank == 0


def _reduce(
    store: dist.Store, name: str, rank: int, size: int, seconds: float, device: torch.device
) -> Finding:
    """An all-reduce on what training would use; the interface is what most often is wrong here."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    name_interface()
    own, limit = dist.PrefixStore("doctor", store), timedelta(seconds=seconds)
    try:
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=limit)
        numbers = torch.ones(2**20, device=device)
        dist.all_reduce(numbers)
        began = time.perf_counter()
        dist.all_reduce(numbers)
        total = int(numbers[0])
        took = 1e3 * (time.perf_counter() - began)
        hosts = ", ".join(hosts_of(store, size)[:8])
        state = "ok" if total == size * size else "wrong"
        return Finding(name, state, f"{backend} all-reduce of 4 MB in {took:.1f} ms, hosts: {hosts}")
    except RuntimeError as error:
        said = str(error).splitlines()[0][:160]
        variable = "NCCL_SOCKET_IFNAME" if backend == "nccl" else "GLOO_SOCKET_IFNAME"
        remedy = f"name the interface that the hosts share: {variable}=eth0 (docs/cluster.md)"
        return Finding(name, "wrong", f"all-reduce failed on rank {rank}: {said}", remedy)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
