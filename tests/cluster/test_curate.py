"""A collection as arrays of jobs on a real SLURM: the same bytes as on one machine."""

import hashlib
import json
import os
import sys
import time

import pytest
from processes import BIN, ROOT

from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings
from interbert.sources.scenes.pages.write import write_pages

pytestmark = pytest.mark.cluster
SECONDS = 300


def what_jobs_said(output):
    logs = sorted((output / ".work" / "logs").rglob("*.out"))
    return "".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}\n" for log in logs)


def test_arrays_of_jobs_give_what_one_machine_gives(slurm, tmp_path, monkeypatch):
    made = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(made, 1):
        write_pages(folder, 12, seed, "train", 0.5)
    there, here = tmp_path / "there", tmp_path / "here"
    asked = ["--slurm", "time=00:10:00", "partition=all", "mem_per_cpu_gb=0"]
    words = [
        "-m",
        "interbert",
        "curate",
        "--input",
        *map(str, made),
        "--output",
        str(there),
        "--tasks",
        "2",
        *asked,
    ]
    # As where the environment of the interpreter was not activated.
    paths = [path for path in slurm.environment["PATH"].split(os.pathsep) if path != str(BIN)]
    monkeypatch.setitem(slurm.environment, "PATH", os.pathsep.join(paths))
    assert "handed to SLURM" in slurm.ask(sys.executable, *words, cwd=ROOT)
    deadline = time.monotonic() + SECONDS
    while not (there / "report.json").exists():
        waiting = slurm.ask("squeue", "-h")
        going_on = waiting or (there / "report.json").exists()
        assert going_on and time.monotonic() < deadline, waiting + what_jobs_said(there)
        time.sleep(1)
    report = curate(Wishes(made, [], [], here, CurateSettings()))
    assert json.loads((there / "report.json").read_text()) == report and report["pages"] == 24
    for name in ("00000.tar", "captions.jsonl", "report.html"):
        first, second = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (there, here))
        assert first == second, name
