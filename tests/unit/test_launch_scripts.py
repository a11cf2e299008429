"""launch/: what becomes of a pod or a job, by its status.json. On real launchers: tests/fault, tests/cluster."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from interbert.train.folder.run_folder import RunFolder

ROOT = Path(__file__).parents[2]


def programs(folder: Path, **what_each_does: str) -> dict[str, str]:
    """An environment in which these programs stand in for the real ones."""
    place = folder / "bin"
    place.mkdir()
    for name, does in what_each_does.items():
        (place / name).write_text(f"#!/bin/bash\n{does}\n")
        (place / name).chmod(0o755)
    return dict(os.environ, PATH=f"{place}:{os.environ['PATH']}")


def runs_in(folder: Path) -> tuple[RunFolder, RunFolder]:
    """A pod's run, and where a stand-in of torchrun finds the status.json that it is to write there."""
    run, told = RunFolder(folder / "run"), RunFolder(folder / "told")
    run.make()
    told.make()
    return run, told


def code_of_pod(run: RunFolder, environment: dict[str, str], *words: str) -> int:
    words = ("launch/elastic.sh", "x.py", *words, f"--output-dir={run.path}")
    return subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode


@pytest.mark.parametrize(
    ("code", "state", "again", "ends"),
    [
        (0, "finished", "no", 0),
        (0, "preempted", "no", 0),
        (1, "preempted", "no", 0),  # torchrun without restarts
        (1, "preempted", "yes", 143),
        (1, "failed", "elsewhere", 143),
        (1, "failed", "no", 1),
        (2, None, None, 2),
    ],
)
def test_a_pods_code_says_whether_to_start_it_again(tmp_path, code, state, again, ends):
    run, told = runs_in(tmp_path)
    run.write_status("preempted", 3, "SIGTERM")
    if state:
        told.write_status(state, 5, 'a "reason", of sorts', again)
    writes = f"mv {told.path}/status.json {run.path}/" if state else ""
    environment = programs(tmp_path, torchrun=f"{writes}\nexit {code}")
    assert code_of_pod(run, environment) == ends


@pytest.mark.parametrize(
    ("state", "again"), [("preempted", "yes"), ("preempted", "no"), ("failed", "elsewhere")]
)
def test_what_an_earlier_run_said_is_not_a_pods_code(tmp_path, state, again):
    run, _ = runs_in(tmp_path)
    run.write_status(state, 5, "of old", again)
    assert code_of_pod(run, programs(tmp_path, torchrun="exit 1")) == 1


@pytest.mark.parametrize(
    ("state", "again", "saved", "goes_on"),
    [
        (None, None, 0, False),
        ("failed", "no", 5, False),
        ("preempted", "no", 5, False),
        ("preempted", "yes", 5, True),
        ("failed", "elsewhere", 5, True),
        ("failed", "elsewhere", 0, False),
    ],
)
def test_a_new_pod_goes_on_from_what_was_saved_whatever_resume_said(tmp_path, state, again, saved, goes_on):
    run, _ = runs_in(tmp_path)
    if state:
        run.write_status("running", 5, "of old")
        run.write_saved(saved)
        run.write_status(state, 5, "of old", again)
    environment = programs(tmp_path, torchrun=f"printf '%s\\n' \"$@\" >{tmp_path}/words")
    assert code_of_pod(run, environment, "--resume", "none") == 0
    more = ["--resume", "latest"] if goes_on else []
    words = ["x.py", "--resume", "none", f"--output-dir={run.path}", *more]
    assert (tmp_path / "words").read_text().splitlines() == words


@pytest.mark.parametrize("has_a_word", [True, False], ids=["saved", "before it had a word"])
def test_a_pods_signal_reaches_torchrun_and_is_waited_for(tmp_path, has_a_word):
    run, told = runs_in(tmp_path)
    told.write_status("preempted", 5, "SIGTERM")
    writes = f"mv {told.path}/status.json {run.path}/;" if has_a_word else ""
    saves = f"sleep 0.5; {writes} touch saved; exit 1"
    waits = f"trap '{saves}' TERM; touch ready; while :; do sleep 0.05; done"
    environment = programs(tmp_path, torchrun=waits)
    words = [str(ROOT / "launch/elastic.sh"), "x.py", "--output-dir", str(run.path)]
    process = subprocess.Popen(words, cwd=tmp_path, env=environment)
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143 and (tmp_path / "saved").exists()


def test_a_folder_in_the_home_folder_is_found(tmp_path):
    run, told = runs_in(tmp_path)
    told.write_status("preempted", 5, "SIGTERM", "yes")
    environment = programs(tmp_path, torchrun=f"mv {told.path}/status.json {run.path}/\nexit 1")
    words = [ROOT / "launch/elastic.sh", "x.py", f"--output-dir=~/{run.path.relative_to(tmp_path)}"]
    assert subprocess.run(words, env={**environment, "HOME": str(tmp_path)}).returncode == 143


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


def said_to_slurm(
    folder: Path,
    excluded: str,
    *,
    nodes: int = 4,
    here: str = "n3",
    away: str = "",
    times: int = 1,
    code: int = 0,
) -> list[str]:
    """What a job tells SLURM that is requeued without its node; `away`: what slurmctld does not answer at first."""
    (folder / "away").write_text("x" * times if away else "")
    scontrol = f"""
[[ $* == "show hostnames"* ]] || echo "$*" >>{folder}/said
if [[ -s {folder}/away && $* == "{away}"* ]]; then truncate -s -1 {folder}/away; exit 1; fi
case $* in
  "show hostnames n[1-2]") printf 'n1\\nn2\\n' ;;
  "show hostnames "*) echo "$3" ;;
  "show job "*) echo "JobId=7 ReqNodeList=(null) ExcNodeList={excluded}" ;;
esac"""
    sinfo = f'for i in $(seq {nodes}); do echo "n$i mixed"; done'
    environment = programs(folder, scontrol=scontrol, sinfo=sinfo, sleep="")
    environment |= {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": here, "SLURM_JOB_NUM_NODES": "1"}
    environment |= {"SLURM_JOB_PARTITION": "p", "SLURM_RESTART_COUNT": "0"}
    script = f"set -euo pipefail; source launch/slurm/run.sh; requeue {here}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, check=False)
    assert done.returncode == code
    return [line for line in (folder / "said").read_text().splitlines() if not line.startswith("show")]


def test_a_job_leaves_out_no_more_nodes_than_it_can_do_without(tmp_path):
    update = "update JobId=7 ExcNodeList="
    for name, excluded, nodes, left_out in (
        ("none", "(null)", 3, f"{update}n3"),
        ("others", "n[1-2]", 4, f"{update}n[1-2],n3"),
        ("last", "n[1-2]", 3, None),
        ("only", "(null)", 1, None),
    ):
        (tmp_path / name).mkdir()
        here = "n1" if nodes == 1 else "n3"
        said = said_to_slurm(tmp_path / name, excluded, nodes=nodes, here=here)
        assert said == ["requeue 7", *([left_out] if left_out else [])], name


def test_a_job_is_requeued_though_slurmctld_is_away_for_a_moment(tmp_path):
    for name, away, said in (
        ("requeue", "requeue", ["requeue 7", "requeue 7", "update JobId=7 ExcNodeList=n[1-2],n3"]),
        # What it leaves out already is not known, so nothing is added.
        ("show", "show job", ["requeue 7"]),
    ):
        (tmp_path / name).mkdir()
        assert said_to_slurm(tmp_path / name, "n[1-2]", away=away) == said, name


def test_a_job_that_cannot_be_requeued_fails(tmp_path):
    said = said_to_slurm(tmp_path, "(null)", away="requeue", times=9, code=1)
    assert said == ["requeue 7"] * 5
