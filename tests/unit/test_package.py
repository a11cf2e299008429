"""interbert as it is installed: a wheel from which everything runs, in a folder that knows no checkout."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import interbert
from interbert.commands.launch import start_of
from interbert.sources.scenes.write import write_scenes

ROOT = Path(__file__).parents[2]
FOR_DEVELOPERS = {"hatchling", "ipykernel", "nbclient", "nbformat", "parameterized", "pytest", "ruff", "ty"}
FOR_DEVELOPERS |= {"beautifulsoup4", "lxml", "nvidia-cuda-nvdisasm", "warcio"}
NOT_INSTALLED = {"ray"}
"""Too large for what it is to most; its test runs where it is there."""


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_what_is_tested_lies_within_what_is_asked_for():
    asked = [Requirement(line) for line in project()["dependencies"]]
    asked += [Requirement(line) for extra in project()["optional-dependencies"].values() for line in extra]
    asked = [one for one in asked if one.name not in NOT_INSTALLED]
    assert {one.name for one in asked} == set(pins()) - FOR_DEVELOPERS
    for one in asked:
        assert one.specifier.contains(pins()[one.name]), f"{one}: {pins()[one.name]} is tested"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder into which the wheel was unpacked, as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "packages")
    return folder / "packages"


def run(installed: Path, cwd: Path, *words: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "interbert", *map(str, words)],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_holds_what_runs_read(installed):
    for folder, kind in (
        ("interbert", "*.py"),
        ("interbert/recipes", "*.yaml"),
        ("interbert/serve/page", "*"),
        ("interbert/kernels/csrc", "*"),
        ("ds_configs", "*.json"),
        ("launch", "*"),
    ):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob(kind) if path.is_file()}
        files = {path for path in files if "__pycache__" not in path.parts}
        assert len(files) > 5
        inside = installed if folder.startswith("interbert") else installed / "interbert"
        assert all((inside / path).is_file() for path in files), folder
    assert (installed / "interbert" / "py.typed").is_file()
    (entry,) = importlib.metadata.distributions(name="interbert", path=[str(installed)])
    assert entry.version == interbert.__version__
    (command,) = entry.entry_points
    assert (command.name, command.value) == ("interbert", "interbert.__main__:main")


ASKED = ("--recipe", "scenes", "--data", "data/a.h5", "--deepspeed_config", "cpu")


def test_what_one_process_answers_is_answered_from_the_wheel(installed, tmp_path):
    write_scenes(tmp_path / "data" / "a.h5", 40, seed=1, feature_width=8)
    assert run(installed, tmp_path, "launch", "files").strip() == str(installed / "interbert" / "launch")
    told = run(installed, tmp_path, "launch", "pretrain", "--dry-run", *ASKED)
    assert f"engine     {installed}/interbert/ds_configs/cpu.json" in told
    assert "--new-head" in run(installed, tmp_path, "launch", "finetune", "--help")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


@pytest.mark.slow
def test_the_launcher_starts_the_scripts_of_the_wheel(installed, tmp_path):
    told = run(installed, tmp_path, "launch", "pretrain", "--num_gpus", 1, *ASKED, code=1)
    assert "pretrain: no data at data/a.h5" in told and "Traceback" not in told


def test_as_a_rank_the_script_itself_runs(monkeypatch):
    monkeypatch.setattr("interbert.commands.launch.free_port", lambda: 4711)
    words = ["--recipe", "scenes", "--num_gpus", "2"]
    launcher = ["-m", "deepspeed.launcher.runner", "--num_gpus", "2", "--master_port"]
    by_launcher = [*launcher, "4711", "x.py", "--recipe", "scenes"]
    assert start_of("x.py", words, {}) == by_launcher
    assert start_of("x.py", [*words, "--master_port", "9"], {}) == [*launcher, "9", *by_launcher[6:]]
    assert start_of("x.py", words, {"RANK": "0", "WORLD_SIZE": "2"}) == ["x.py", *words]
    assert start_of("x.py", ["--dry-run"], {}) == ["x.py", "--dry-run"]


def test_the_citation_and_the_changes_name_this_version():
    assert f"\nversion: {interbert.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest and newest[1] == interbert.__version__
