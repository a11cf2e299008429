"""A collection as arrays of jobs on a real SLURM: the same bytes as on one machine."""

import hashlib
import json
import sys
import time

import pytest
from processes import ROOT

from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings
from interbert.sources.scenes.pages.write import write_pages

pytestmark = pytest.mark.cluster
SECONDS = 300


def test_arrays_of_jobs_give_what_one_machine_gives(slurm, tmp_path):
    made = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(made, 1):
        write_pages(folder, 12, seed, "train", 0.5)
    there, here = tmp_path / "there", tmp_path / "here"
    words = [
        sys.executable,
        "-m",
        "interbert",
        "curate",
        "--input",
        *map(str, made),
        "--output",
        str(there),
        "--tasks",
        "2",
    ]
    said = slurm.ask(*words, "--slurm", "time=00:10:00", "partition=all", "mem_per_cpu_gb=0", cwd=ROOT)
    assert "handed to SLURM" in said
    deadline = time.monotonic() + SECONDS
    while not (there / "report.json").exists():
        assert time.monotonic() < deadline, slurm.ask("squeue", cwd=ROOT)
        time.sleep(1)
    report = curate(Wishes(made, [], [], here, CurateSettings()))
    assert json.loads((there / "report.json").read_text()) == report and report["pages"] == 24
    for name in ("00000.tar", "captions.jsonl", "report.html"):
        first, second = (hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (there, here))
        assert first == second, name
