"""A SLURM of three nodes on this machine: its own munge, controller and daemons, in a folder of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

CONF = """ClusterName=interbert_test
SlurmctldHost=localhost
SlurmctldPort=17100
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
ProctrackType=proctrack/{tracking}
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
ReturnToService=2
JobRequeue=1
MpiDefault=none
KillWait=5
MinJobAge=300
NodeName=n[1-3] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17101-17103] CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

CGROUPS = Path("/sys/fs/cgroup")
CGROUP_CONF = f"CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nCgroupMountpoint={CGROUPS}\n"
NODES = ("n1", "n2", "n3")


def why_not_cgroups() -> str:
    """What keeps SLURM from tracking processes as clusters do, so that nothing outlives its step."""
    if not (CGROUPS / "freezer").is_dir():
        return "no cgroup v1 freezer is mounted here"
    return "" if os.access(CGROUPS / "freezer", os.W_OK) else "cgroups cannot be made here"


class Slurm:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen] = []
        self.environment = dict(os.environ, SLURM_CONF=str(folder / "slurm.conf"))

    def start(self) -> None:
        for path in (self.folder, *self.folder.parents):
            if path.stat().st_uid == os.getuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o055)  # munge's user must get through
        (self.folder / "state").mkdir()
        tracking = "linuxproc" if why_not_cgroups() else "cgroup"
        (self.folder / "slurm.conf").write_text(CONF.format(folder=self.folder, tracking=tracking))
        (self.folder / "cgroup.conf").write_text(CGROUP_CONF)
        self._start_munge()
        self._run("slurmctld", "-D", "-c")
        for node in NODES:
            (self.folder / f"spool_{node}").mkdir()
            self._run("slurmd", "-D", "-N", node)
        self._wait_until_idle(60)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        for path in (folder, folder / "key"):
            shutil.chown(path, "munge", "munge")
        options = [
            f"--{n}={folder}/{n.replace('-file', '')}"
            for n in ("key-file", "socket", "pid-file", "log-file", "seed-file")
        ]
        words = ["runuser", "-u", "munge", "--", "munged", "--foreground", "--force", *options]
        self._started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 10
        while not (folder / "socket").exists():
            assert time.monotonic() < deadline, "munged did not start"
            time.sleep(0.1)

    def _run(self, *words: str) -> None:
        log = open(self.folder / f"{'_'.join(words)}.out", "w")  # noqa: SIM115
        self._started.append(subprocess.Popen(words, env=self.environment, stdout=log, stderr=log))

    def _wait_until_idle(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (states := self.ask("sinfo", "-h", "-o", "%T %D").split()) != ["idle", str(len(NODES))]:
            assert time.monotonic() < deadline, (
                states,
                [p.read_text()[-2000:] for p in self.folder.glob("*.log")],
            )
            time.sleep(0.5)

    def ranks_of(self, job: str) -> list[psutil.Process]:
        """Of a job's step, in order."""
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words, said = process.cmdline(), process.environ()
                if said.get("SLURM_JOB_ID") == job and "-u" in words[:2] and "SLURM_PROCID" in said:
                    found[int(said["SLURM_PROCID"])] = process
        return [found[rank] for rank in sorted(found)]

    def wait_until(self, seen: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < deadline, "it was not seen"
            time.sleep(0.2)

    def ask(self, *words: str, **options) -> str:
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, **options
        )
        return done.stdout + done.stderr

    def state_of(self, job: str) -> str:
        words = self.ask("scontrol", "show", "job", job, "--oneliner").split()
        return next((word.partition("=")[2] for word in words if word.startswith("JobState=")), "GONE")

    def wait_for(self, job: str, seconds: float) -> str:
        """The job's last state."""
        deadline = time.monotonic() + seconds
        while (state := self.state_of(job)) not in (
            "COMPLETED",
            "FAILED",
            "CANCELLED",
            "TIMEOUT",
            "NODE_FAIL",
        ):
            assert time.monotonic() < deadline, f"job {job} is still {state}"
            time.sleep(0.5)
        return state

    def stop(self) -> None:
        if self._started:
            self.ask("scancel", "--full", "--user=root")  # a test that failed may have left a job
            with suppress(AssertionError):
                self.wait_until(lambda: not self.ask("squeue", "-h"), 20)
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
        for node in NODES:
            for made in sorted((CGROUPS / "freezer").glob(f"slurm_{node}/**/"), reverse=True):
                with suppress(OSError):
                    made.rmdir()
