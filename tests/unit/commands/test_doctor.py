"""What the doctor finds, and what it says of ranks that do not meet."""

import os
import socket

import pytest
from nursery import Forked

from interbert.commands.doctor import findings as doctor
from interbert.commands.doctor.findings import free_port, hosts, look


def run_doctor(*more, **environment):
    kept = {
        k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    }
    kept["CUDA_VISIBLE_DEVICES"] = ""  # two ranks meet, also where one GPU is
    return Forked(["-m", "interbert", "doctor", *more], [kept | environment])


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def test_this_machine_is_looked_at(tmp_path):
    found = {finding.name: finding.state for finding in look(tmp_path / "runs", None, int(port()))}
    for name in (
        "python",
        "torch",
        "deepspeed",
        "g++",
        "gpu",
        "cpu kernels",
        "apex",
        "disk of runs",
        "shared memory",
    ):
        assert name in found
    assert found["python"] == found["g++"] == "ok"


def test_what_is_wrong_comes_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda program: None)
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "0.1")
    found = {finding.name: finding for finding in look(tmp_path, None, int(port()))}
    assert found["g++"].state == "wrong" and "install it" in str(found["g++"])
    assert found["torch"].state == "wrong" and "0.1; needs >=2" in str(found["torch"])
    assert "pip install 'torch==" in str(found["torch"])


def test_an_installed_package_is_asked_for_its_own_ranges(monkeypatch):
    """Where there is no requirements.txt; what an extra wants is no fault."""
    there = {"torch": "2.12.0+cu130", "deepspeed": "0.19.9", "numpy": "1.26.0", "h5py": None, "peft": None}
    asked = ["torch>=2.11", "deepspeed>=0.19.8,<0.20", "numpy>=2", "h5py>=3", 'peft>=0.18; extra == "peft"']

    def version(name):
        if there[name] is None:
            raise doctor.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(doctor, "pinned", dict)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(doctor.metadata, "version", version)
    found = {finding.name: finding for finding in doctor.versions()}
    states = {name: one.state for name, one in found.items() if name != "python"}
    assert states == {"torch": "ok", "deepspeed": "ok", "numpy": "wrong", "h5py": "wrong"}
    assert "1.26.0; needs >=2" in str(found["numpy"]) and "pip install 'h5py>=3'" in str(found["h5py"])


def test_what_the_suite_was_run_with_is_told_in_a_checkout():
    pins = doctor.pinned()
    assert pins["torch"].startswith("2.") and "hatchling" in pins


def test_a_port_in_use_is_found():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        finding = free_port(listener.getsockname()[1])
    assert finding.state == "wrong" and "--master_port" in finding.remedy


def test_a_bad_hostfile_is_a_finding(tmp_path):
    (tmp_path / "hosts").write_text("one slots=2\ntwo 3\n")
    finding = next(hosts(tmp_path / "hosts"))
    assert finding.state == "wrong" and "line 2: 'two 3'" in finding.seen


def test_a_missing_hostfile_and_an_unknown_host_are_findings(tmp_path):
    assert "no hostfile" in next(hosts(tmp_path / "nowhere")).seen
    (tmp_path / "hosts").write_text("no-such-host.invalid slots=1 # comment\n")
    first, second = hosts(tmp_path / "hosts")
    assert first.state == "ok" and second.state == "wrong" and second.remedy


@pytest.mark.slow
def test_ranks_that_meet_say_so():
    there = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port()}
    ranks = [run_doctor(RANK=str(rank), LOCAL_RANK=str(rank), **there) for rank in (0, 1)]
    said = [rank.communicate(timeout=60)[0] for rank in ranks]
    assert "2 ranks by deepspeed" in said[0] and "all-reduce of 4 MB" in said[0]
    assert said[1] == "" and [rank.returncode for rank in ranks] == [0, 0]


@pytest.mark.slow
def test_a_rank_that_never_comes_is_named_before_the_deadline():
    there = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port()}
    ranks = [run_doctor("--deadline", "12", RANK=str(rank), **there) for rank in (0, 2)]
    said = [rank.communicate(timeout=60)[0] for rank in ranks]
    assert "ranks 1 never came" in said[0] and ranks[0].returncode == 1


def test_a_wrong_address_is_told_by_the_rank_that_cannot_reach_it():
    there = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port()}
    rank = run_doctor("--deadline", "3", RANK="1", **there)
    said, _ = rank.communicate(timeout=60)
    assert "did not reach 127.0.0.1" in said and "firewall" in said and rank.returncode == 1
