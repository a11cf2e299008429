"""`deepspeed --hostfile` over two hosts with an sshd each."""

import re
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hosts import NAMES
from processes import ended
from tuning import same_export, tuning

pytestmark = pytest.mark.cluster
BIN = Path(sys.executable).parent
LONG = (
    "train.schedule_steps=5000",
    "train.checkpoint_every=5000",
    "train.picture_every=5000",
    "train.patience=6",
)


@pytest.fixture(autouse=True)
def short_meetings(tmp_path, monkeypatch):
    """Ranks wait for each other for less than the ten minutes that they would."""
    (tmp_path / "environment").write_text("INTERBERT_RENDEZVOUS_SECONDS=40\n")
    monkeypatch.setenv("DS_ENV_FILE", str(tmp_path / "environment"))


@pytest.fixture(scope="module")
def alone(runs) -> list[float]:
    runs.python("alone", "--max-steps", "4")
    return runs.losses("alone")


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_two_hosts_train_as_one_machine_does(hosts, runs, alone, stage):
    name = f"hosts_zero{stage}"
    command = runs.command(name, "--max-steps", "4", config=f"zero{stage}_fp32")
    said = runs.run(hosts.deepspeed(command))
    assert "2 rank(s) by deepspeed" in said
    assert runs.losses(name) == pytest.approx(alone, rel=1e-4)


def test_two_hosts_fine_tune_as_one_machine_does(hosts, runs):
    runs.run_ranks(tuning(runs, "tuned_here"))
    runs.run(hosts.deepspeed(tuning(runs, "hosts_tuned")))
    assert same_export(runs, "tuned_here", "hosts_tuned")


def test_include_and_exclude(hosts, runs):
    said = runs.run(hosts.deepspeed(runs.command("one_of_two", "--max-steps", "1"), "--exclude", "ibh2"))
    assert "1 rank(s) by deepspeed" in said


def test_the_environment_is_carried_over(hosts, runs, tmp_path, monkeypatch):
    """And a file STOP stops both hosts."""
    with open(tmp_path / "environment", "a") as file:
        file.write("OF_THE_FILE=yes\n")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    process = runs.start(hosts.deepspeed(runs.command("carried", "--max-steps", "5000", sets=LONG)))
    for line in process.stdout:
        if "step 3/" in line:
            break
    found = [p.environ() for p in psutil.process_iter() if is_rank(p)]
    (runs.folder / "carried" / "STOP").touch()
    said, _ = process.communicate(timeout=60)
    assert sorted(environment["RANK"] for environment in found) == ["0", "1"]
    assert all(e.get("OF_THE_FILE") == "yes" and e.get("PYTHONHASHSEED") == "77" for e in found)
    assert runs.status("carried")["state"] == "preempted", said


def is_rank(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        words = process.cmdline()[:4]
        # One that only hands over to a launcher of both hosts is a rank of one.
        both = process.environ().get("WORLD_SIZE") == "2"
        return both and any(word.endswith("launch/pretrain.py") for word in words)
    return False


def refused(hosts, runs, name, *flags, hostfile="", **options):
    """What is said by a run that cannot start: soon after ranks have waited for each other."""
    began = time.monotonic()
    process = runs.start(hosts.deepspeed(runs.command(name, "--max-steps", "1"), *flags, hostfile=hostfile))
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0, said
    assert time.monotonic() - began < 90
    return said


def test_a_missing_hostfile(hosts, runs):
    assert "no-such-hosts" in refused(hosts, runs, "no_hostfile", hostfile="/tmp/no-such-hosts")


def test_a_host_that_does_not_answer(hosts, runs, tmp_path):
    (tmp_path / "hosts").write_text("ibh1 slots=1\n10.77.0.9 slots=1\n")
    said = refused(hosts, runs, "absent", hostfile=str(tmp_path / "hosts"))
    assert "10.77.0.9" in said


def test_a_host_without_the_interpreter(hosts, runs):
    folder = Path(sys.executable).parent
    hosts.hide("ibh2", folder)
    try:
        said = refused(hosts, runs, "no_interpreter")
    finally:
        hosts.show("ibh2", folder)
    assert re.search(r"ibh2: .*python.*: (No such file|not found)", said), said
    assert "ranks 1 never came to 10.77.0.1" in said, said


def test_mpirun_over_two_hosts(hosts, runs, alone):
    said = runs.run(hosts.mpirun(runs.command("hosts_mpi", "--max-steps", "4")))
    assert "2 rank(s) by mpirun" in said
    assert runs.losses("hosts_mpi") == pytest.approx(alone, rel=1e-4)


def test_torchrun_over_two_hosts(hosts, runs, alone):
    command = runs.command("hosts_torchrun", "--max-steps", "4")
    meet = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--rdzv_id", "two"]
    meet += ["--rdzv_endpoint", "10.77.0.1:29400"]
    started = [
        runs.start(hosts.on(name, str(BIN / "torchrun"), *meet, "--local_addr", address, *command))
        for name, address in (("ibh1", "10.77.0.1"), ("ibh2", "10.77.0.2"))
    ]
    said = ended(started, 200)
    assert [process.returncode for process in started] == [0, 0], said
    assert "2 rank(s) by torchrun" in "".join(said)
    assert runs.losses("hosts_torchrun") == pytest.approx(alone, rel=1e-4)


def test_a_group_over_two_hosts_is_started_again(hosts, runs):
    """Its launchers count their restarts each for itself."""
    sets = (*LONG, "train.checkpoint_every=20")
    command = runs.command("hosts_elastic", "--max-steps", "200", sets=sets)
    meet = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--rdzv_id", "again"]
    meet += ["--rdzv_endpoint", "10.77.0.1:29401", "--max-restarts", "2"]
    started = [runs.start(hosts.on(name, str(BIN / "torchrun"), *meet, *command)) for name in NAMES]
    deadline = time.monotonic() + 60
    while not any((runs.folder / "hosts_elastic" / "checkpoints").glob("step_*")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    victim = next(p for p in psutil.process_iter() if is_rank(p) and p.environ()["RANK"] == "1")
    victim.kill()
    said = ended(started, 200)
    assert [process.returncode for process in started] == [0, 0], said
    assert "resumed from" in "".join(said) and runs.status("hosts_elastic")["state"] == "finished"


def test_a_launcher_whose_connections_break(hosts, runs):
    process = runs.start(hosts.deepspeed(runs.command("unheard", "--max-steps", "5000", sets=LONG)))
    for line in process.stdout:
        if "step 3/" in line:
            break
    for connection in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if connection.name() in ("ssh", "pdsh"):
                connection.kill()
    process.kill()
    deadline = time.monotonic() + 40
    while runs.status("unheard")["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    status = runs.status("unheard")
    assert status["state"] == "preempted", status
    assert (runs.folder / "unheard" / "checkpoints" / f"step_{status['step']}").is_dir()


def test_a_blocked_port(hosts, runs):
    hosts.block("ibh2", "10.77.0.1", 29777)
    try:
        said = refused(hosts, runs, "blocked", "--master_port", "29777")
    finally:
        hosts.block("ibh2", "10.77.0.1", 29777, lift=True)
    assert "ranks 1 never came to 10.77.0.1:29777" in said or "did not reach 10.77.0.1:29777" in said


def test_a_cut_link_ends_both_sides_and_can_be_resumed(hosts, runs):
    command = runs.command("cut", "--max-steps", "5000", sets=(*LONG, "train.checkpoint_every=20"))
    process = runs.start(hosts.deepspeed(command))
    for line in process.stdout:
        if "step 30/" in line:  # pdsh puts the host before it
            break
    hosts.cut("ibh2")
    began = time.monotonic()
    try:
        folder = runs.folder / "cut"
        while runs.status("cut")["state"] != "failed" or len(list(folder.glob("failed_rank*.json"))) < 2:
            assert time.monotonic() - began < 60, runs.status("cut")
            time.sleep(0.5)
    finally:
        hosts.join("ibh2")
        process.communicate(timeout=60)
    said = runs.python("cut", "--max-steps", "40", sets=(*LONG, "train.checkpoint_every=20"))
    assert "resumed from" in said and runs.status("cut")["state"] == "finished"
