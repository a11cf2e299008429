"""Real launchers and real processes, on a small world made once."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from nursery import ROOT, TESTS, Forked

BIN = Path(sys.executable).parent
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_SIZE")

LONGEST = 1500
"""Seconds that a process may live."""

SMALL = [
    "model.override={hidden_size: 32, pooler_size: 32, stages: ["
    "{kind: joint, layers: 1, heads: 2, intermediate_size: 64}, "
    "{kind: text, layers: 1, heads: 2, intermediate_size: 64}, "
    "{kind: image, layers: 1, heads: 2, intermediate_size: 64, hidden_dropout: 0.2}]}",
    "scenes={train_images: 48, validation_images: 16, test_images: 16, feature_width: 32}",
    "data.token_budget=512",
    "train.micro_batches=2",
    "train.schedule_steps=100",
    "train.log_every=1",
    "train.validate_every=4",
    "train.validation_micro_batches=3",
    "train.picture_every=4",
    "train.checkpoint_every=100",
    "train.export_initial=false",
]


class Runs:
    """Starts launch/pretrain.py as people do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen] = []
        self.settings = [*SMALL, f"scenes.folder={folder / 'scenes'}"]

    def command(self, name: str, *more: str, config: str = "cpu", sets: tuple[str, ...] = ()) -> list[str]:
        words = [
            "launch/pretrain.py",
            "--recipe",
            "scenes",
            "--deepspeed_config",
            f"ds_configs/{config}.json",
        ]
        words += ["--output-dir", str(self.folder / name)]
        for setting in (*self.settings, *sets):
            words += ["--set", setting]
        return [*words, *more]

    def start(
        self, words: list[str], really: bool = False, gpus: bool = False, **options
    ) -> subprocess.Popen | Forked:
        """A Python program is forked with everything imported; whatever else, launchers too, is really started."""
        if words[0] == sys.executable and not really:
            return self._watched(Forked(words[1:], [environment()]))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return self._watched(subprocess.Popen(words, cwd=ROOT, env=environment(gpus), **(pipes | options)))

    def ranks(self, words: list[str], number: int = 2) -> Forked:
        """Forked ranks, as a launcher would have started them; where the launcher matters, start it."""
        there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        there |= {"WORLD_SIZE": str(number), "LOCAL_SIZE": str(number)}
        ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)]
        return self._watched(Forked(words, [environment() | there | rank for rank in ranks]))

    def _watched(self, process: subprocess.Popen | Forked) -> subprocess.Popen | Forked:
        self._started.append(process)
        # Whoever reads its lines waits for as long as it lives.
        limit = threading.Timer(LONGEST, end_all, [process])
        limit.daemon = True
        limit.start()
        return process

    def close(self) -> None:
        for process in self._started:
            end_all(process)

    def run(self, words: list[str], code: int | None = 0, seconds: float = 500, **how) -> str:
        return self._output(self.start(words, **how), words, code, seconds)

    def run_ranks(self, words: list[str], code: int | None = 0, seconds: float = 500, number: int = 2) -> str:
        return self._output(self.ranks(words, number), words, code, seconds)

    def _output(self, process, words: list[str], code: int | None, seconds: float) -> str:
        try:
            output, _ = process.communicate(timeout=seconds)
        finally:
            end_all(process)
        if code is not None:
            assert process.returncode == code, f"{' '.join(words)}\n{output}"
        return output

    def python(self, name: str, *more: str, code: int | None = 0, **options) -> str:
        return self.run([sys.executable, *self.command(name, *more, **options)], code)

    def metrics(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]

    def losses(self, name: str) -> list[float]:
        return [line["loss"] for line in self.metrics(name) if "loss" in line]

    def status(self, name: str) -> dict:
        return json.loads((self.folder / name / "status.json").read_text())


def environment(gpus: bool = False) -> dict[str, str]:
    """Of a process that is started: no launcher's, one thread, and no GPU unless it is asked for."""
    kept = {k: v for k, v in os.environ.items() if k not in LAUNCHER_VARIABLES}
    kept["PATH"] = f"{BIN}:{kept['PATH']}"
    if not gpus:
        kept |= {"PYTHONPATH": str(TESTS / "no_gpu"), "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    kept["OMP_NUM_THREADS"] = "1"
    # DeepSpeed keeps the op it builds in the user's cache: a fresh cache would build it for every launch.
    kept.pop("XDG_CACHE_HOME", None)
    return kept


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def deepspeed(ranks: int = 2) -> list[str]:
    return [str(BIN / "deepspeed"), "--num_gpus", str(ranks), "--master_port", free_port()]


def torchrun(ranks: int = 2, *more: str) -> list[str]:
    return [str(BIN / "torchrun"), "--nproc_per_node", str(ranks), "--master_port", free_port(), *more]


def ended(processes: Sequence[subprocess.Popen], seconds: float) -> list[str]:
    """What each of them said to its end; read from all at once, for whoever is not read from may stand still."""
    said = [""] * len(processes)

    def read(number: int) -> None:
        for line in processes[number].stdout:
            said[number] += line

    readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(len(processes))]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + seconds
    for reader, process in zip(readers, processes, strict=True):
        reader.join(max(deadline - time.monotonic(), 0))
        assert not reader.is_alive(), (
            f"{process.args} still runs after {seconds:g} s; all said:\n" + "\n\n".join(said)
        )
        process.wait(10)
    return said


def end_all(process: subprocess.Popen | Forked) -> None:
    """It and all that it started, unless it has ended: its number may be another's by now."""
    if process.poll() is not None:
        return
    with suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for member in family:
            with suppress(psutil.Error):
                member.kill()


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Iterator[Runs]:
    made = Runs(tmp_path_factory.mktemp("runs"))
    yield made
    made.close()


def needs(program: str):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")
