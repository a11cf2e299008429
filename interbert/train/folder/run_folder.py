"""The folder of a run: where each thing lies, its state, and what it ran on."""

import errno
import fcntl
import logging
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from interbert import __version__
from interbert.files import read_json, replace_json, write_json
from interbert.ranks.ending import EXIT_CODES, Again, AskedToStop, State, again_after, describe_error
from interbert.ranks.launcher import ranks_here

log = logging.getLogger(__name__)

BEGAN = time.time()
_LOCKS: list[IO[str]] = []


class FolderInUse(ValueError):
    """By a run that is alive: nothing is to be written there."""


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def heartbeats(self) -> Path:
        return self.path / "heartbeats"

    @property
    def bad_steps(self) -> Path:
        return self.path / "bad_steps.jsonl"

    @property
    def stop_file(self) -> Path:
        return self.path / "STOP"

    @property
    def profile(self) -> Path:
        return self.path / "profile"

    @property
    def picture(self) -> Path:
        return self.path / "picture.png"

    @property
    def initial(self) -> Path:
        return self.path / "initial"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def adapter(self) -> Path:
        """Adapters alone, of a run with train.lora."""
        return self.path / "adapter"

    def make(self) -> None:
        reason = "permission denied, or a read-only file system"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror
        if not os.access(self.path, os.W_OK):
            raise ValueError(
                f"--output-dir {self.path}: cannot be written to ({reason}); name another folder"
            )

    def begin(self) -> None:
        """Takes the folder, and says so; what an earlier run left about its end is removed."""
        self.lock()
        self.write_status("running", self.last_step(), "preparing")

    def lock(self) -> None:
        """Keeps other runs out of this folder for as long as this process lives."""
        path = self.path / ".lock"
        held = open(path, "a+")  # noqa: SIM115 (held for life)
        if not wait_for_lock(held, seconds=2):  # a witness may have it, for a moment
            held.seek(0)
            raise FolderInUse(
                f"{self.path} is in use by a run that is alive ({held.read().strip() or 'unknown'}); let it "
                f"end, stop it (touch {self.stop_file}), or name another --output-dir"
            )
        held.truncate(0)
        held.write(f"process {os.getpid()} on {platform.node()}\n")
        held.flush()
        _LOCKS.append(held)

    def read_status(self) -> dict[str, Any] | None:
        path = self.path / "status.json"
        status = read_json(path) if path.is_file() else None
        if status is None:
            return None
        whole = isinstance(status, dict) and status.get("state") in EXIT_CODES
        if not whole or not isinstance(status.get("step"), int):
            raise ValueError(f"{path}: lacks a state or a step; restore it, or remove it")
        return status

    def last_step(self) -> int:
        status = self.read_status()
        return status["step"] if status else 0

    def saved_step(self) -> int:
        """Step of the newest checkpoint that the run saved or went on from, be it there or lost; 0: none yet."""
        status = self.read_status()
        # Earlier versions did not tell: each of their steps may have been saved.
        return status.get("saved", status["step"]) if status else 0

    def finished_at(self, last_step: int) -> bool:
        """Whether a run to this step has nothing left to do."""
        status = self.read_status()
        if status is None or status["state"] != "finished" or not self.export.is_dir():
            return False
        return status["step"] >= last_step or status.get("complete", False)

    def write_status(
        self,
        state: State,
        step: int,
        reason: str,
        again: Again | None = None,
        hosts: Sequence[str] = (),
        complete: bool = False,
    ) -> None:
        """`again`: whether to start it again (ending.py); `hosts`: where it stood still, if that is known;
        `complete`: it would learn no more, however many steps were asked for."""
        saved = 0
        with suppress(ValueError):  # a damaged one, which is written anew here
            saved = self.saved_step()
        status = {
            "state": state,
            "step": step,
            "reason": reason,
            "exit_code": EXIT_CODES[state],
            "again": again or again_after(state),
            "hosts": ",".join(hosts),
            "complete": complete,
            "saved": saved,
        }
        replace_json(self.path / "status.json", status)
        if state != "failed":
            self._forget_notes()

    def write_saved(self, step: int) -> None:
        """A run stands at this step, and has a checkpoint of it (0: none). What a rank has said about the run's end,
        perhaps just now, stays."""
        status = self.read_status()
        if status is not None and status["state"] != "failed":
            replace_json(self.path / "status.json", status | {"step": step, "saved": step})

    def _forget_notes(self) -> None:
        for left in self.path.glob("failed_rank*.json"):
            left.unlink(missing_ok=True)

    def write_failure(
        self, rank: int, step: int, reason: str, again: Again = "no", hosts: Sequence[str] = ()
    ) -> str:
        """status.json of a run of which this rank failed; returns the reason it gives.

        One rank's failure soon is every rank's, for the others lose their partner. So each leaves a note with the
        time, and the first one's reason stands, whoever writes last.
        """
        own = {"time": time.time(), "reason": reason, "again": again, "hosts": list(hosts)}
        with suppress(OSError):  # on a full disk the reason still goes into status.json
            write_json(self.path / f"failed_rank{rank}.json", own)
        if rank == 0:
            time.sleep(1)  # the note of the one who failed first may still be on its way
        notes = [own | {"time": math.inf}]
        for path in self.path.glob("failed_rank*.json"):
            with suppress(ValueError, OSError):  # a full disk may have torn it
                notes.append(read_json(path))
        first = min(notes, key=lambda note: note["time"])
        # A run that fails before it knows where it stood must not forget that it stood somewhere.
        with suppress(ValueError):
            step = max(step, self.last_step())
        self.write_status("failed", step, first["reason"], first["again"], first["hosts"])
        return first["reason"]

    def write_not_begun(self, rank: int, error: Exception) -> None:
        """status.json of a run whose ranks did not come together: whichever of them is the first to say so.

        Who has the lock writes, so no two do, and none while another run has the folder.
        """
        with suppress(OSError, ValueError):
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            status, told = self.read_status(), self.path / "status.json"
            ended = status is not None and status["state"] in ("failed", "preempted")
            if ended and told.stat().st_mtime >= BEGAN:
                return
            if isinstance(error, AskedToStop):
                reason = f"asked to stop ({error}, rank {rank}) before all ranks had met"
                return self.write_status("preempted", self.last_step(), reason)
            self._forget_notes()
            self.write_failure(rank, self.last_step(), *describe_error(error))


def tell_of_stage(whole: RunFolder, stage: RunFolder, done: int) -> None:
    """The state of a staged run is that of the stage it is in, which began after `done` steps."""
    status = stage.read_status()
    if status is not None and status["state"] not in ("running", "finished"):
        hosts = [host for host in status.get("hosts", "").split(",") if host]
        reason = f"stage {stage.path.name}: {status['reason']}"
        whole.write_status(status["state"], done + status["step"], reason, status.get("again"), hosts)


def wait_for_lock(file: IO[str], seconds: float) -> bool:
    """Locks it, unless another process keeps it for longer than this."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            log.warning("%s: this file system has no locks; see that no two runs take this folder", file.name)
            return True


PACKAGES = (
    "torch",
    "deepspeed",
    "transformers",
    "tokenizers",
    "h5py",
    "mpi4py",
    "numpy",
    "pydantic",
    "tensorboard",
)


def describe_environment(launcher: str, world_size: int, device: Any) -> dict[str, Any]:
    """Versions, git state, machine and ranks, for environment.json."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "python": sys.version.split()[0],
        "packages": {"interbert": __version__, **{name: metadata.version(name) for name in PACKAGES}},
        "git": described_checkout(),
        "machine": platform.platform(),
        "launcher": launcher,
        "ranks": world_size,
        "hosts": -(-world_size // ranks_here(os.environ, world_size)),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or "cpu",
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "folder": os.getcwd(),
        "command": sys.argv,
    }


def described_checkout() -> dict[str, Any]:
    """Of what is installed nothing, whatever repository the environment may lie in."""
    top = _git("rev-parse", "--show-toplevel")
    ours = top is not None and Path(top).resolve() == Path(__file__).resolve().parents[3]
    return {
        "commit": _git("rev-parse", "HEAD") if ours else None,
        "changed": (_git("status", "--porcelain") or "").splitlines() if ours else [],
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
