"""launch/slurm on a real SLURM of three nodes."""

import json
import re
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from processes import ROOT
from safetensors.torch import load_file
from slurm import why_not_cgroups
from tuning import same_export, tuning

pytestmark = pytest.mark.cluster
BIN = Path(sys.executable).parent
STEPS = 4500  # more than fits into the time before the signal
LONG = (
    f"train.schedule_steps={STEPS}",
    "train.checkpoint_every=5000",
    "train.picture_every=5000",
    "train.validate_every=5000",
)


def submit(slurm, runs, name, *more, flags=(), sets=LONG, steps=STEPS):
    words = runs.command(name, "--max-steps", str(steps), *more, sets=sets)
    return submit_words(slurm, name, words, flags)


def submit_words(slurm, name, words, flags=()):
    """words: of launch/SCRIPT.py, for which launch/slurm/SCRIPT.sbatch is submitted."""
    job = [
        "sbatch",
        "--parsable",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=1",
        "--exclusive",
        f"--output={slurm.folder}/{name}_%j.log",
    ]
    slurm.environment |= {"INTERBERT_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    slurm.environment.pop("XDG_CACHE_HOME", None)
    script = f"launch/slurm/{Path(words[0]).stem}.sbatch"
    said = slurm.ask(*job, *flags, script, *words[1:], cwd=ROOT).strip()
    assert re.fullmatch(r"\d+", said), said
    return said


def log_of(slurm, name) -> str:
    return "\n".join(path.read_text() for path in sorted(slurm.folder.glob(f"{name}_*.log")))


def learnt(runs, name, step) -> dict[str, torch.Tensor]:
    """Weights and moments in a checkpoint."""
    parts = (runs.folder / name / "checkpoints" / f"step_{step}").glob("part_*.safetensors")
    return {key: tensor for part in parts for key, tensor in load_file(part).items()}


def test_a_job_that_is_out_of_time_is_requeued_and_goes_on_as_if_it_had_not_been(slurm, runs):
    job = submit(slurm, runs, "long", flags=("--time=2", "--signal=USR1@60"))
    slurm.wait_until(lambda: "resumed from" in log_of(slurm, "long"), 300)
    (runs.folder / "long" / "STOP").touch()
    state, said, status = slurm.wait_for(job, 90), log_of(slurm, "long"), runs.status("long")
    assert state == "COMPLETED" and status["state"] == "preempted" and "by srun" in said, said
    assert "SIGUSR1" in said and "requeueing" in said and re.search(r"[1-9]\d* restarts so far", said), said

    step = status["step"]
    assert step > json.loads(re.search(r"resumed from \S+step_(\d+)", said)[1])
    words = runs.command("unbroken", "--max-steps", str(step), sets=LONG)
    runs.run([str(BIN / "torchrun"), "--nproc_per_node", "2", *words])
    ours, theirs = learnt(runs, "long", step), learnt(runs, "unbroken", step)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


CONTAINER = """#!/bin/sh
scontrol show step "$SLURM_JOB_ID.$SLURM_STEP_ID" --oneliner | tr ' ' '\\n' | grep ^CPUs=
# A namespace of its own, with another name and without SLURM's commands.
exec unshare --mount --uts sh -c '
  hostname in-a-container
  mount --bind /dev/null "$(command -v scontrol)"
  exec "$@"
' container "$@"
"""


def test_in_a_container(slurm, runs):
    container = slurm.folder / "container"
    container.write_text(CONTAINER)
    container.chmod(0o755)
    slurm.environment["INTERBERT_PREFIX"] = str(container)
    try:
        job = submit(slurm, runs, "contained", flags=("--cpus-per-task=2",), steps=2)
        state = slurm.wait_for(job, 120)
    finally:
        slurm.environment.pop("INTERBERT_PREFIX")
    assert state == "COMPLETED", log_of(slurm, "contained")
    assert "2 rank(s) by srun" in log_of(slurm, "contained")
    assert (
        log_of(slurm, "contained").count("CPUs=4\n") == 2
    )  # two a task: the step has what the job asked for
    assert runs.status("contained")["state"] == "finished"


def test_fine_tuning_is_what_it_is_on_one_machine(slurm, runs):
    words = tuning(runs, "tuned_here")
    runs.run_ranks(words)
    job = submit_words(slurm, "tuned", tuning(runs, "tuned"))
    assert slurm.wait_for(job, 120) == "COMPLETED", log_of(slurm, "tuned")
    assert runs.status("tuned")["state"] == "finished" and (runs.folder / "tuned" / "results.json").is_file()
    assert same_export(runs, "tuned_here", "tuned")


def test_what_an_earlier_run_said_does_not_decide(slurm, runs):
    """Else a job that cannot even start would be requeued for ever."""
    runs.python("stale", "--max-steps", "2")
    status = runs.folder / "stale" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "preempted"}))
    slurm.environment["INTERBERT_PREFIX"] = "/no/such/container"
    try:
        job = submit(slurm, runs, "stale", steps=4)
        state = slurm.wait_for(job, 120)
    finally:
        slurm.environment.pop("INTERBERT_PREFIX")
    said = log_of(slurm, "stale")
    assert state == "FAILED" and "but of an earlier run" in said and "requeueing" not in said, said


def test_a_failed_run_is_not_requeued(slurm, runs):
    sets = ("train.learning_rate=1e30", "train.warmup_share=0", "train.max_skipped=2")
    job = submit(slurm, runs, "doomed", sets=sets, steps=50)
    assert slurm.wait_for(job, 120) == "FAILED"
    said = log_of(slurm, "doomed")
    assert "failed: ValueError: 2 steps in a row" in said and "requeueing" not in said


def running(slurm, runs, name, step, *, sets=(), steps=STEPS, **options) -> str:
    """A job whose run has come to this step."""
    job = submit(slurm, runs, name, sets=(*LONG, *sets), steps=steps, **options)
    slurm.wait_until(lambda: f"step {step}/" in log_of(slurm, name), 120)
    return job


def test_a_stop_file_stops_it_for_good(slurm, runs):
    job = running(slurm, runs, "stopped", 3)
    (runs.folder / "stopped" / "STOP").touch()
    state = slurm.wait_for(job, 60)
    said, status = log_of(slurm, "stopped"), runs.status("stopped")
    assert state == "COMPLETED" and "stopped as it was asked to" in said and "requeueing" not in said, said
    assert (status["state"], status["again"]) == ("preempted", "no") and status["step"] >= 3


def test_restarts_have_a_limit(slurm, runs):
    slurm.environment["INTERBERT_RESTARTS"] = "0"
    job = running(slurm, runs, "limited", 3)
    slurm.environment.pop("INTERBERT_RESTARTS")
    slurm.ask("scancel", "--signal=USR1", job)
    state = slurm.wait_for(job, 60)
    said = log_of(slurm, "limited")
    assert state == "FAILED" and "SIGUSR1" in said and "requeued 0 times already" in said, said


def test_a_rank_that_hangs_is_left_behind_with_its_node(slurm, runs):
    slurm.environment["INTERBERT_SRUN"] = "--wait=3"
    try:
        sets = ("train.patience=6", "train.checkpoint_every=100")
        job = running(slurm, runs, "hung", 120, sets=sets)
        frozen = slurm.ranks_of(job)[1]
        node = frozen.environ()["SLURMD_NODENAME"]
        frozen.suspend()
        slurm.wait_until(lambda: "1 restarts so far" in log_of(slurm, "hung"), 120)
        slurm.wait_until(lambda: "resumed from" in log_of(slurm, "hung"), 60)
        nodes = {rank.environ()["SLURMD_NODENAME"] for rank in slurm.ranks_of(job)}
        (runs.folder / "hung" / "STOP").touch()
        state = slurm.wait_for(job, 60)
    finally:
        slurm.environment.pop("INTERBERT_SRUN")
    said = log_of(slurm, "hung")
    assert (
        "hangs" in said and "failure 1 in a row: requeueing" in said and f"from now on without {node}" in said
    )
    assert state == "COMPLETED" and len(nodes) == 2 and node not in nodes, (node, nodes, said)


def test_what_dies_without_a_word_is_told_by_the_batch_script_and_tried_so_often(slurm, runs):
    if why_not_cgroups():
        pytest.skip(f"{why_not_cgroups()}: a step's processes could outlive it")
    slurm.environment["INTERBERT_FAILURES"] = "1"
    job = running(slurm, runs, "silent", 3)
    for attempt in (1, 2):
        for rank in slurm.ranks_of(job):  # as when a node is out of memory, with the witness
            family = rank.children(recursive=True)
            for process in (*family, rank):
                process.kill()
        if attempt == 1:
            slurm.wait_until(lambda: "1 restarts so far" in log_of(slurm, "silent"), 120)
            slurm.wait_until(lambda: log_of(slurm, "silent").count("step 3/") == 2, 60)
    slurm.environment.pop("INTERBERT_FAILURES")
    state = slurm.wait_for(job, 60)
    said, status = log_of(slurm, "silent"), runs.status("silent")
    assert state == "FAILED" and "failure 1 in a row: requeueing" in said, said
    assert "2 times in a row without a step forward" in said
    assert status["state"] == "failed" and "rank 0 was killed" in status["reason"]


def test_nothing_of_a_run_outlives_its_step(slurm, runs):
    """Which is why the batch script does the work of the witness."""
    if why_not_cgroups():
        pytest.skip(why_not_cgroups())
    script = "setsid sleep 321 & sleep 1"
    slurm.ask("srun", "--nodes=1", "bash", "-c", script)
    time.sleep(1)
    assert not [
        process
        for process in psutil.process_iter()
        if process.name() == "sleep" and "321" in process.cmdline()
    ]


def test_an_array_is_a_seed_each(slurm, runs):
    job = submit(slurm, runs, "seeds", flags=("--array=1-2",), sets=("train.validate_every=50",), steps=2)
    for task in (1, 2):
        assert slurm.wait_for(f"{job}_{task}", 120) == "COMPLETED", log_of(slurm, "seeds")
    configs = [(runs.folder / f"seeds_seed{task}" / "config.yaml").read_text() for task in (1, 2)]
    assert "seed: 1\n" in configs[0] and "seed: 2\n" in configs[1]
    assert all(runs.status(f"seeds_seed{task}")["state"] == "finished" for task in (1, 2))


def test_without_a_folder_it_says_what_is_missing(slurm):
    script = "source launch/slurm/run.sh; run_until_done launch/pretrain.py --recipe scenes"
    assert "give --output-dir" in slurm.ask("bash", "-c", script, cwd=ROOT)
