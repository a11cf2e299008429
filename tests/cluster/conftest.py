"""Clusters on this machine: for root, with Debian's packages (`make cluster-packages`)."""

import os
import shutil
import subprocess
import sys

import pytest
from hosts import Hosts
from processes import environment, runs
from slurm import Slurm

__all__ = ["runs"]


def needs_root_and(*programs: str) -> None:
    """Skips with the reason, which `pytest -rs` prints."""
    missing = [program for program in programs if shutil.which(program) is None]
    if os.getuid() != 0:
        pytest.skip("a cluster on one machine is made by root")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make cluster-packages)")


def needs_namespaces() -> None:
    tried = subprocess.run(["ip", "netns", "add", "ibprobe"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "ibprobe"], capture_output=True)
    if tried.returncode:
        pytest.skip(f"no network namespaces can be made here ({tried.stderr.strip()})")


@pytest.fixture(scope="session", autouse=True)
def built_op():
    """DeepSpeed's op takes a minute to build, which is all the time that some runs here have."""
    code = "from interbert.kernels.cpu.shared_memory_op import load_shared_memory_op as load; load()"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    needs_root_and("slurmctld", "slurmd", "munged", "sbatch", "srun")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def hosts(tmp_path_factory):
    needs_root_and("ip", "sshd", "ssh", "ssh-keygen", "pdsh", "tc")
    needs_namespaces()
    two = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        two.start()
        yield two
    finally:
        two.stop()
