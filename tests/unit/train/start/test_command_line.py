"""What launch/pretrain.py says at once, before anything heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from interbert.recipe import load_recipe
from interbert.train.folder.run_folder import RunFolder

ROOT = Path(__file__).parents[4]


def pretrain(*arguments):
    command = [sys.executable, "launch/pretrain.py", "--recipe", "scenes", *map(str, arguments)]
    command += ["--deepspeed_config", "ds_configs/cpu.json"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def finished(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.export.mkdir(parents=True)
    folder.config.write_text(yaml.safe_dump(load_recipe("scenes").model_dump(mode="json")))
    folder.write_status("finished", 3600, "reached step 3600 of 3600")
    return folder.path


def test_a_finished_run_says_so(finished):
    done = pretrain("--output-dir", finished, "--set", "train.log_every=1")
    assert done.returncode == 0 and "finished, at step 3600" in done.stdout


def test_the_home_is_expanded_in_the_folder_of_a_run(finished, monkeypatch):
    monkeypatch.setenv("HOME", str(finished.parent))
    done = pretrain(f"--output-dir=~/{finished.name}")
    assert done.returncode == 0 and f"{finished}: finished" in done.stdout


def test_a_finished_run_is_not_taken_for_one_with_other_settings(finished):
    done = pretrain("--output-dir", finished, "--set", "train.learning_rate=0.5")
    assert done.returncode == 1
    assert "train.learning_rate: 0.002 then, 0.5 now" in done.stderr and "--resume none" in done.stderr


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_at_all(steps, tmp_path):
    done = pretrain("--output-dir", tmp_path / "run", "--max-steps", steps)
    assert done.returncode == 1 and f"--max-steps is {steps}: give 1 or more" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = pretrain("--output-dir", tmp_path / "file" / "run")
    assert done.returncode == 1 and "cannot be written to (Not a directory)" in done.stderr
    assert "Traceback" not in done.stderr
