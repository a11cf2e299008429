"""The verbs and scripts of an installed checkout, from a folder that knows nothing of it."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from interbert.sources.scenes.write import write_scenes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter for which a checkout was installed as the Makefile does it; what it needs comes from ours."""
    checkout, venv = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("venv")
    for name in ("interbert", "launch", "ds_configs", "pyproject.toml", "README.md"):
        (checkout / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "--editable ." in line)
    words = line.strip().removeprefix("$(BIN)/python").split()
    subprocess.run(
        [venv / "bin" / "python", *words, "--no-index"], check=True, cwd=checkout, capture_output=True
    )
    return checkout, venv / "bin" / "python"


def test_verbs_and_scripts_work_from_any_folder(python, tmp_path):
    checkout, interpreter = python

    def run(*words) -> str:
        done = subprocess.run([interpreter, *map(str, words)], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "token_budget = 1024" in run("-m", "interbert", "settings", "--recipe", "scenes")
    write_scenes(tmp_path / "data" / "a.h5", 40, seed=1, feature_width=8)
    assert "40 images" in run("-m", "interbert", "verify", "data/a.h5")
    asked = ("--recipe", "scenes", "--data", "data/a.h5", "--deepspeed_config", "cpu")
    told = run(checkout / "launch" / "pretrain.py", "--dry-run", *asked)
    assert "run        runs/scenes" in told and f"engine     {ROOT}/ds_configs/cpu.json" in told
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
