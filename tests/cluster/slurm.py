"""A SLURM of two nodes on this machine: its own munge, controller and two daemons, in a folder of its own."""

import os
import shutil
import subprocess
import time
from pathlib import Path

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
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
ReturnToService=2
JobRequeue=1
MpiDefault=none
KillWait=5
MinJobAge=300
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17101-17102] CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


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
        (self.folder / "slurm.conf").write_text(CONF.format(folder=self.folder))
        self._start_munge()
        self._run("slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
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
        while (states := self.ask("sinfo", "-h", "-o", "%T %D").split()) != ["idle", "2"]:
            assert time.monotonic() < deadline, (
                states,
                [p.read_text()[-2000:] for p in self.folder.glob("*.log")],
            )
            time.sleep(0.5)

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
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
