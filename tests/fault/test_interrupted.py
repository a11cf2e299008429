"""Ctrl-C: what the terminal sends to everything that was started, at once."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from processes import BIN, ROOT
from test_faults import LONG, Started


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["deepspeed", pytest.param("torchrun", marks=pytest.mark.thorough)])
def test_ctrl_c_on_a_launcher_saves_and_ends(runs, launcher):
    run = Started(runs, f"ctrl_c_{launcher}", launcher=launcher).until(3)
    ranks = run.ranks()
    os.killpg(run.process.pid, signal.SIGINT)
    began = time.monotonic()
    status = run.wait_for("preempted", 30)
    said = run.end(30)
    assert time.monotonic() - began < 30, said
    assert "SIGINT" in status["reason"] and status["exit_code"] == 75, said
    assert (run.folder / "checkpoints" / f"step_{status['step']}" / "manifest.json").is_file()
    assert not any(rank.is_running() for rank in ranks)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_launcher_saves_and_ends(runs, number):
    """It reaches the ranks late or never; then the launcher is gone, which they see."""
    run = Started(runs, f"launcher_{number.name}", launcher="deepspeed").until(3)
    ranks = run.ranks()
    run.process.send_signal(number)
    status = run.wait_for("preempted", 30)
    run.end(30)
    assert (run.folder / "checkpoints" / f"step_{status['step']}" / "manifest.json").is_file()
    assert not any(rank.is_running() for rank in ranks)


@pytest.mark.thorough
def test_ctrl_c_on_make_pretrain(tmp_path):
    """In a copy of the project, with the virtual environment of this one; then it goes on."""
    copy = tmp_path / "interbert"
    for name in ("interbert", "launch", "ds_configs"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, copy / name)
        os.utime(copy / name, (0, 0))  # older than the environment, which is not to be set up again from here
    (copy / ".venv").symlink_to(os.path.dirname(BIN))
    environment = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"}
    words = ["make", "pretrain", "VENV=.venv", f"PYTHON={sys.executable}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    make = subprocess.Popen(words, cwd=copy, env=environment, start_new_session=True, **pipes)
    said = []
    for line in make.stdout:
        said.append(line)
        if line.startswith("step 1"):
            break
    else:
        pytest.fail("".join(said))
    os.killpg(make.pid, signal.SIGINT)
    rest, _ = make.communicate(timeout=30)
    assert make.returncode != 0, "".join(said) + rest
    status = (copy / "runs/scenes/status.json").read_text()
    assert '"preempted"' in status and "SIGINT" in status

    again = subprocess.Popen(words, cwd=copy, env=environment, start_new_session=True, **pipes)
    for line in again.stdout:
        if line.startswith("resumed from"):
            break
    else:
        pytest.fail("it started again from nothing")
    os.killpg(again.pid, signal.SIGINT)
    again.communicate(timeout=60)


@pytest.mark.slow
def test_two_that_resume_at_once(runs):
    runs.python("doubled", "--max-steps", "10", sets=LONG)
    words = [sys.executable, *runs.command("doubled", "--max-steps", "5000", sets=LONG)]
    both = [runs.start(words) for _ in range(2)]
    deadline = time.monotonic() + 60
    while all(process.poll() is None for process in both):
        assert time.monotonic() < deadline, "both go on"
        time.sleep(0.1)
    (runs.folder / "doubled" / "STOP").touch()
    ends = {process.communicate(timeout=60)[0]: process.returncode for process in both}
    refused = [said for said, code in ends.items() if code == 1]
    assert len(refused) == 1 and "is in use by a run that is alive" in refused[0], ends
    assert "Traceback" not in refused[0] and runs.status("doubled")["state"] == "preempted"
    steps = [line["step"] for line in runs.metrics("doubled") if "loss" in line]
    assert len(steps) > 10 and steps == list(range(1, len(steps) + 1))


def test_a_run_whose_only_process_is_killed_is_not_left_running(runs):
    words = [sys.executable, *runs.command("murdered", "--max-steps", "5000", sets=LONG)]
    process = runs.start(words)
    for line in process.stdout:
        if line.startswith("step 3/"):
            break
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while (status := runs.status("murdered"))["state"] != "failed":
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    assert "rank 0 was killed" in status["reason"] and status["exit_code"] == 1
