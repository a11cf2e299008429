"""Which device a rank takes, and that DeepSpeed then takes the same; cores; groups with the promised time."""

import inspect
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from deepspeed.accelerator.cuda_accelerator import CUDA_Accelerator
from deepspeed.runtime import engine as deepspeed_engine

from interbert.commands.doctor.meeting import try_meeting
from interbert.files import read_json
from interbert.ranks import distributed, rendezvous
from interbert.ranks.distributed import choose_device, start_ranks
from interbert.ranks.ending import AskedToStop
from interbert.ranks.ports import free_port
from interbert.ranks.rendezvous import RendezvousError
from interbert.ranks.stop import StopRequest
from interbert.train.folder import run_folder
from interbert.train.folder.run_folder import RunFolder

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


class Cards:
    """torch.cuda on a machine that shows this process so many."""

    def __init__(self, monkeypatch, count: int) -> None:
        self.count, self.current = count, None
        for name in ("is_available", "device_count", "set_device"):
            assert callable(getattr(torch.cuda, name))
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        return self.count

    def set_device(self, device) -> None:
        number = device if isinstance(device, int) else torch.device(device).index
        if not 0 <= number < self.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        self.current = number


@pytest.fixture
def place(monkeypatch):
    """This process, at a place on its host."""
    for name in ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    cuda = CUDA_Accelerator()
    monkeypatch.setattr(deepspeed_engine, "get_accelerator", lambda: cuda)
    monkeypatch.setattr(deepspeed_engine.dist, "get_world_size", lambda: 8)
    monkeypatch.setattr(deepspeed_engine.dist, "get_rank", lambda: 3)
    return lambda number: monkeypatch.setenv("LOCAL_RANK", str(number))


def device_of_deepspeed() -> torch.device:
    """By the engine's own code, of itself."""
    own = SimpleNamespace()
    deepspeed_engine.DeepSpeedEngine._configure_with_arguments(own, None, None)
    deepspeed_engine.DeepSpeedEngine._set_distributed_vars(own, None)
    return own.device


@pytest.mark.parametrize(("count", "local", "number"), [(1, 0, 0), (1, 3, 0), (8, 3, 3), (4, 3, 3)])
def test_deepspeed_takes_the_device_that_we_took(monkeypatch, place, count, local, number):
    cards = Cards(monkeypatch, count)
    place(local)
    ours = choose_device()
    assert ours == torch.device("cuda", number) and cards.current == number
    assert device_of_deepspeed() == ours and cards.current == number


def test_under_mpirun_too_whose_own_variable_deepspeed_compares(monkeypatch, place):
    Cards(monkeypatch, 1)
    place(2)
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "2")
    choose_device()
    assert device_of_deepspeed() == torch.device("cuda", 0)


def test_a_rank_without_a_device_is_told(monkeypatch, place):
    Cards(monkeypatch, 2)
    place(2)
    with pytest.raises(ValueError, match=r"rank 2 of this machine has no GPU: 2 are here; start 2 ranks"):
        choose_device()
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    finding, speaks = try_meeting(1)
    assert speaks and finding.state == "wrong" and "has no GPU" in finding.seen


def test_without_cards_it_is_the_cpu_and_its_place_is_left(monkeypatch, place):
    Cards(monkeypatch, 0)
    place(3)
    assert choose_device() == torch.device("cpu") and os.environ["LOCAL_RANK"] == "3"


def alone(monkeypatch, **more) -> None:
    """One rank, met by its environment, with what it asks of torch and DeepSpeed noted."""
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", **more}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))


def test_all_groups_have_the_promised_time_and_the_meeting_takes_the_shown_device(monkeypatch, place):
    """nccl needs a GPU; what it would be given is seen."""
    Cards(monkeypatch, 1)
    alone(monkeypatch, LOCAL_RANK="3")
    import deepspeed

    asked = {}
    for module, name in ((dist, "init_process_group"), (deepspeed, "init_distributed")):
        real = inspect.signature(getattr(module, name))
        monkeypatch.setattr(module, name, lambda *a, n=name, s=real, **k: asked.update({n: s.bind(*a, **k)}))
    real_group = inspect.signature(dist.new_group)
    monkeypatch.setattr(dist, "new_group", lambda *a, **k: real_group.bind(*a, **k))
    monkeypatch.setattr(rendezvous, "name_interface", lambda: None)
    ranks = start_ranks(timeout_minutes=120)
    assert ranks.local_rank == 3 and ranks.device == torch.device("cuda", 0)
    hours = {name: bound.arguments["timeout"] for name, bound in asked.items()}
    assert hours == dict.fromkeys(("init_process_group", "init_distributed"), timedelta(hours=2))
    assert ranks.host_group.arguments == {"backend": "gloo", "timeout": timedelta(hours=2)}
    assert asked["init_process_group"].arguments["backend"] == "nccl"


def test_cores_are_those_that_slurm_gives_a_task(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda who: set(range(8)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert distributed._share_of_cores("srun", 8) == distributed._share_of_cores("torchrun", 8) == 2
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")  # bound: the eight that are seen are this task's own
    assert distributed._share_of_cores("srun", 8) == 8


def test_a_meeting_that_fails_is_what_status_says(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_status("finished", 70, "reached step 70")
    alone(monkeypatch, WORLD_SIZE="2", INTERBERT_RENDEZVOUS_SECONDS="0.5", OMP_NUM_THREADS="1")
    with pytest.raises(RendezvousError, match="ranks 1 never came"):
        start_ranks(folder.write_not_begun)
    status = folder.read_status()
    assert (status["state"], status["step"], status["again"]) == ("failed", 70, "elsewhere")
    assert "ranks 1 never came" in status["reason"]


def long_ago(path: Path) -> None:
    os.utime(path, (0, 0))


def test_where_rank_0_never_comes_another_one_says_so_and_only_one(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_status("preempted", 7, "SIGTERM")
    long_ago(tmp_path / "status.json")
    alone(monkeypatch, RANK="1", WORLD_SIZE="2", INTERBERT_RENDEZVOUS_SECONDS="0.5", OMP_NUM_THREADS="1")
    with pytest.raises(RendezvousError, match="did not reach"):
        start_ranks(folder.write_not_begun)
    assert folder.read_status()["state"] == "failed"
    written = (tmp_path / "status.json").read_text()
    run_folder._LOCKS.pop().close()  # it has ended, and its lock with it
    distributed_error = RendezvousError("said later")
    threads = [
        threading.Thread(target=folder.write_not_begun, args=(rank, distributed_error)) for rank in (2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "status.json").read_text() == written
    assert [path.name for path in tmp_path.glob("failed_rank*")] == ["failed_rank1.json"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_is_heard_while_others_are_waited_for(rank, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    folder.write_status("running", 7, "training")
    long_ago(tmp_path / "status.json")
    alone(monkeypatch, RANK=str(rank), WORLD_SIZE="2", INTERBERT_RENDEZVOUS_SECONDS="20", OMP_NUM_THREADS="1")
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    stop = StopRequest(folder.stop_file)
    stop.listen()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        with pytest.raises(AskedToStop):
            start_ranks(folder.write_not_begun, stop)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    status = folder.read_status()
    assert [status[key] for key in ("state", "step", "exit_code", "again")] == ["preempted", 7, 75, "yes"]
    assert status["reason"] == f"asked to stop (SIGTERM, rank {rank}) before all ranks had met"
    run_folder._LOCKS.pop().close()
    folder.write_not_begun(1 - rank, RendezvousError("its peer never came"))
    assert folder.read_status() == status  # the first to say so


def test_a_rank_whose_store_went_with_a_stopped_rank_0_was_stopped_too(tmp_path, monkeypatch):
    alone(monkeypatch, RANK="1", WORLD_SIZE="2")
    stop = StopRequest(tmp_path / "STOP")

    def lose(*_):
        raise dist.DistNetworkError("Connection reset by peer")

    monkeypatch.setattr(distributed, "_join", lose)
    with pytest.raises(dist.DistNetworkError):
        start_ranks(RunFolder(tmp_path / "unasked").write_not_begun, stop)
    stop._note(signal.SIGTERM, None)
    with pytest.raises(AskedToStop):
        start_ranks(RunFolder(tmp_path / "asked").write_not_begun, stop)
    states = [RunFolder(tmp_path / name).read_status()["state"] for name in ("unasked", "asked")]
    assert states == ["failed", "preempted"]


def test_a_meeting_that_fails_says_nothing_about_a_run_that_is_alive(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin()
    RunFolder(tmp_path).write_not_begun(0, RendezvousError("ranks 1 never came"))
    assert read_json(tmp_path / "status.json")["state"] == "running"
