"""Real launchers and real processes, on a small world made once."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
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

    def start(self, words: list[str], **options) -> subprocess.Popen:
        environment = {k: v for k, v in os.environ.items() if k not in LAUNCHER_VARIABLES}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["OMP_NUM_THREADS"] = "1"
        # DeepSpeed keeps the op it builds in the user's cache: a fresh cache would build it for every launch.
        environment.pop("XDG_CACHE_HOME", None)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(words, cwd=ROOT, env=environment, **{**pipes, **options})
        self._started.append(process)
        # Whoever reads its lines waits for as long as it lives.
        limit = threading.Timer(LONGEST, end_all, [process])
        limit.daemon = True
        limit.start()
        return process

    def close(self) -> None:
        for process in self._started:
            end_all(process)

    def run(self, words: list[str], code: int | None = 0, seconds: float = 500) -> str:
        process = self.start(words)
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


def end_all(process: subprocess.Popen) -> None:
    """It and all that it started."""
    with suppress(psutil.Error):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
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
