"""The ranks of a run, however they were started: deepspeed, torchrun, mpirun, srun, or plain python (one rank).

torch, transformers and deepspeed are imported when ranks meet: a dry run needs none of them.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from interbert.ranks.ending import AskedToStop, describe_error
from interbert.ranks.launcher import ranks_here, started_by
from interbert.ranks.ports import free_port
from interbert.ranks.stop import StopRequest

if TYPE_CHECKING:
    import torch


@dataclass
class Ranks:
    rank: int
    world_size: int
    local_rank: int
    """Its place on its host. LOCAL_RANK is the number of its device instead."""
    device: torch.device | None
    """None: of a dry run, which computes nothing."""
    launcher: str
    host_group: Any = None
    """A gloo group for numbers that live on the host, so that asking for them never waits for the device."""
    store: Any = None
    """Where the ranks met."""
    counters: int = 0

    @classmethod
    def alone(cls) -> Ranks:
        """One rank, which meets nobody."""
        return cls(0, 1, 0, None, "python")

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Each value summed over all ranks, in float64."""
        if self.world_size == 1:
            return [float(value) for value in values]
        import torch
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self.host_group)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank, in rank order."""
        if self.world_size == 1:
            return [value]
        import torch.distributed as dist

        values = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.host_group)
        return values

    def share(self, value: Any) -> Any:
        """What rank 0 has, on every rank."""
        if self.world_size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.host_group)
        return box[0]

    def barrier(self) -> None:
        if self.world_size > 1:
            import torch.distributed as dist

            dist.barrier(group=self.host_group)

    def counter(self) -> Callable[[], int]:
        """A function that gives 0, 1, 2, …, each number to one rank alone: to whoever asks next.

        All ranks call this, in one order. Without a store they take turns, whoever is first.
        """
        self.counters += 1
        if self.store is None:
            return itertools.count(self.rank, self.world_size).__next__
        name = f"counter/{self.counters}"
        return lambda: self.store.add(name, 1) - 1

    def main_only(self, action) -> Any:
        """`action()` on rank 0, its result on all ranks; its failure is raised on all ranks, never waited for."""
        result, problem = None, None
        if self.is_main:
            try:
                result = action()
            except Exception as error:
                problem = error
        result, problem = self.share((result, problem))
        if problem is not None:
            raise problem
        return result

    def close(self) -> None:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


def start_ranks(
    tell: Callable[[int, Exception], Any] | None = None,
    stop: StopRequest | None = None,
    timeout_minutes: float = 120,
) -> Ranks:
    """Finds out how the process was started and joins the others. Call once, first thing.

    tell(rank, error) is called where they do not come together; a signal noted by `stop` ends the waiting.
    """
    launcher = name_rendezvous()
    try:
        return _join(launcher, timedelta(minutes=timeout_minutes), stop)
    except Exception as error:
        # Rank 0 holds the store: asked to stop as this rank is, it may have gone first.
        if stop is not None and stop.signal and describe_error(error)[1] == "elsewhere":
            error = AskedToStop(stop.signal)
        if tell is not None:
            tell(int(os.environ["RANK"]), error)
        raise error


def _join(launcher: str, timeout: timedelta, stop: StopRequest | None) -> Ranks:
    import torch
    import torch.distributed as dist

    from interbert.kernels.cpu.host_memory import reuse_freed_memory
    from interbert.ranks.rendezvous import meet, name_interface

    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = choose_device()
    backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "gloo":
        reuse_freed_memory()
        # Launchers that set no OMP_NUM_THREADS let every rank start a thread for each core.
        if "OMP_NUM_THREADS" not in os.environ or launcher == "torchrun":
            torch.set_num_threads(_share_of_cores(launcher, world_size))
    import deepspeed
    from transformers.utils.logging import disable_progress_bar

    from interbert.kernels.cpu.shared_memory_op import leave_no_name, load_shared_memory_op

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    disable_progress_bar()  # transformers draws one for each model saved or loaded
    if rank > 0:  # what holds for all ranks is said once
        logging.getLogger("interbert").setLevel(logging.WARNING)
    name_interface()
    asked = (lambda: stop.signal) if stop else str
    store = dist.PrefixStore("ranks", meet(rank, world_size, asked=asked))
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)
    if backend == "gloo":
        load_shared_memory_op()
    deepspeed.init_distributed(dist_backend=backend, timeout=timeout, verbose=False, auto_mpi_discovery=False)
    if backend == "gloo":
        dist.barrier()  # all of a host have opened each other's buffers
        leave_no_name(rank)
    host_group = dist.new_group(backend="gloo", timeout=timeout) if backend == "nccl" else None
    return Ranks(rank, world_size, local_rank, device, launcher, host_group, store)


def choose_device() -> torch.device:
    """This rank's device. LOCAL_RANK becomes its number, for that is what DeepSpeed takes it for.

    SLURM's --gpus-per-task=1 shows each task one GPU, number 0 for all of them.
    """
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    place, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= there > 1:
        raise ValueError(
            f"rank {place} of this machine has no GPU: {there} are here; start {there} ranks a machine"
        )
    number = 0 if there == 1 else place
    os.environ["LOCAL_RANK"] = str(number)
    if "OMPI_COMM_WORLD_LOCAL_RANK" in os.environ:  # which DeepSpeed wants to be the same
        os.environ["OMPI_COMM_WORLD_LOCAL_RANK"] = str(number)
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _share_of_cores(launcher: str, world_size: int) -> int:
    """Cores for each rank of this machine."""
    if launcher == "srun" and "SLURM_CPUS_PER_TASK" in os.environ:  # and then it may see these alone
        return int(os.environ["SLURM_CPUS_PER_TASK"])
    local_ranks = ranks_here(os.environ, world_size)
    return max(1, len(os.sched_getaffinity(0)) // max(1, local_ranks))


def name_rendezvous() -> str:
    """Sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT where the launcher did not; names it."""
    environment = os.environ
    launcher = started_by(environment)
    if launcher == "mpirun":
        _rendezvous_by_mpi(environment)
    elif launcher == "srun":
        _rendezvous_by_slurm(environment)
    elif launcher == "python":
        environment.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_WORLD_SIZE="1")
        environment.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    return launcher


def _rendezvous_by_slurm(environment) -> None:
    """srun starts one task a rank; the first node of the step is the meeting point."""
    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", ""))
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment["SLURM_NTASKS"]
    here = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if here:
        environment.setdefault("LOCAL_WORLD_SIZE", here[0])
    environment.update(RANK=environment["SLURM_PROCID"], WORLD_SIZE=tasks)
    environment.setdefault("LOCAL_RANK", environment.get("SLURM_LOCALID", "0"))
    if "MASTER_ADDR" not in environment:
        environment["MASTER_ADDR"] = _address_of_first(nodes)
    # Two steps of one machine must not meet: the port follows from the job and the step.
    number = int(environment["SLURM_JOB_ID"]) * 31 + int(environment["SLURM_STEP_ID"])
    environment.setdefault("MASTER_PORT", str(20000 + number % 20000))


def _address_of_first(nodes: str) -> str:
    """Where SLURM itself reaches the first of these nodes: a node's name need not be a host's."""
    names = _ask("scontrol", "show", "hostnames", nodes).split()
    if not names:
        raise ValueError(
            f"scontrol cannot tell the hosts of {nodes!r}: set MASTER_ADDR to the first one's address"
        )
    described = _ask("scontrol", "show", "node", names[0], "--oneliner").split()
    return next((word.partition("=")[2] for word in described if word.startswith("NodeAddr=")), names[0])


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def own_address() -> str:
    """Where other hosts reach this one: its name often means a loopback address."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except socket.gaierror:
        address = ""
    if address and not address.startswith("127."):
        return address
    found = _ask("hostname", "-I").split()
    if not found:
        known = f"knows itself only as {address}" if address else "does not know its own name"
        raise ValueError(f"{name} {known}: set MASTER_ADDR to rank 0's address")
    return found[0]


def _rendezvous_by_mpi(environment) -> None:
    """mpi4py tells rank and size; rank 0 tells the others where it can be reached."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    local = world.Split_type(MPI.COMM_TYPE_SHARED)
    one_host = local.Get_size() == world.Get_size()
    address = "127.0.0.1" if one_host else own_address()
    address, port = world.bcast((address, free_port()), root=0)
    environment.update(RANK=str(world.Get_rank()), WORLD_SIZE=str(world.Get_size()))
    environment.update(LOCAL_RANK=str(local.Get_rank()), LOCAL_WORLD_SIZE=str(local.Get_size()))
    environment.setdefault("MASTER_ADDR", address)
    environment.setdefault("MASTER_PORT", str(port))
