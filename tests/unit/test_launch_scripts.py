"""launch/*.sh: what becomes of a pod, by its run's status.json. On real launchers: tests/fault, tests/cluster."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from interbert.train.run_folder import RunFolder

ROOT = Path(__file__).parents[2]


def torchrun_that(does: str, folder: Path) -> dict[str, str]:
    program = folder / "bin" / "torchrun"
    program.parent.mkdir()
    program.write_text(f"#!/bin/bash\n{does}\n")
    program.chmod(0o755)
    return dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("code", "state", "again", "ends"),
    [
        (0, "finished", "no", 0),
        (0, "preempted", "no", 0),
        (1, "preempted", "yes", 143),
        (1, "failed", "elsewhere", 143),
        (1, "failed", "no", 1),
        (2, None, None, 2),
    ],
)
def test_a_pods_code_says_whether_to_start_it_again(tmp_path, code, state, again, ends):
    environment = torchrun_that(f"exit {code}", tmp_path)
    run = RunFolder(tmp_path / "run")
    run.make()
    if state:
        run.write_status(state, 5, 'a "reason", of sorts', again)
    done = subprocess.run(
        ["launch/elastic.sh", "x.py", "--output-dir=~/run"],  # `~` is left to the script
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert done.returncode == ends


def test_a_pods_signal_reaches_torchrun_and_is_waited_for(tmp_path):
    environment = torchrun_that(
        "trap 'sleep 0.5; touch saved; exit 1' TERM; touch ready; while :; do sleep 0.05; done", tmp_path
    )
    run = RunFolder(tmp_path)
    run.write_status("preempted", 5, "SIGTERM")
    words = [str(ROOT / "launch/elastic.sh"), "x.py", "--output-dir", str(tmp_path)]
    process = subprocess.Popen(words, cwd=tmp_path, env=environment)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143 and (tmp_path / "saved").exists()


def test_without_a_folder_it_says_what_is_missing(tmp_path):
    done = subprocess.run(["launch/elastic.sh", "x.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "give --output-dir" in done.stdout


def words_of(folder: Path, *names: str) -> list[str]:
    script = (
        f'source launch/status.sh; for w in {" ".join(names)}; do echo "$(status_word "{folder}" $w)"; done'
    )
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_status_is_read_as_it_is_written(tmp_path):
    run = RunFolder(tmp_path)
    run.write_failure(1, 12, 'rank 1 hangs, "x"', "elsewhere", ["n2", "n3"])
    found = words_of(tmp_path, "state", "step", "again", "hosts", "exit_code")
    assert found == ["failed", "12", "elsewhere", "n2,n3", "1"]
    run.write_status("finished", 12, "reached step 12")
    assert words_of(tmp_path, "hosts") == [""]


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "launch").rglob("*.s*h*")))
def test_the_scripts_pass_bash(script):
    (path,) = (ROOT / "launch").rglob(script)
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr == ""
