"""A run under faults: real processes, stopped, killed, frozen, orphaned, starved of disk, or fed bad numbers."""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress

import psutil
import pytest
from processes import deepspeed, end_all, free_port, torchrun

ELASTIC = "torchrun, elastic"
LAUNCHERS = {
    "torchrun": torchrun,
    ELASTIC: lambda: ["launch/elastic.sh", *torchrun(2, "--max-restarts", "2")[1:]],
    "deepspeed": deepspeed,
}
LONG = ("train.schedule_steps=5000", "train.checkpoint_every=5000", "train.picture_every=5000")


class Started:
    """A run on two ranks, read up to a step; ranks without a launcher begin much sooner."""

    def __init__(
        self, runs, name: str, *sets: str, launcher: str | None = None, steps: int = 5000, more=()
    ) -> None:
        command = runs.command(name, "--max-steps", str(steps), *more, sets=(*LONG, *sets))
        self.folder, self.launcher = runs.folder / name, launcher
        if launcher is None:
            self.process = runs.ranks(command)
        else:
            self.process = runs.start([*LAUNCHERS[launcher](), *command], start_new_session=True)

    def until(self, step: int) -> "Started":
        for line in self.process.stdout:
            if line.startswith(f"step {step}/"):
                return self
        raise AssertionError("it ended before")

    def ranks(self) -> list[psutil.Process]:
        if self.launcher is None:
            return [psutil.Process(process.pid) for process in self.process.processes]
        found = [
            p
            for p in psutil.Process(self.process.pid).children(recursive=True)
            if self._rank_of(p) is not None
        ]
        return sorted(found, key=self._rank_of)

    @staticmethod
    def _rank_of(process: psutil.Process) -> int | None:
        words = process.cmdline()
        is_rank = any(
            word.endswith("launch/pretrain.py") for word in words[:4]
        ) and "launch.py" not in " ".join(words)
        rank = process.environ().get("RANK")
        return int(rank) if is_rank and rank is not None else None

    def end(self, seconds: float) -> str:
        try:
            output, _ = self.process.communicate(timeout=seconds)
        finally:
            if self.launcher is None:
                end_all(self.process)
            else:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
        return output

    def status(self) -> dict:
        return json.loads((self.folder / "status.json").read_text())

    def wait_for(self, state: str, seconds: float) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.status()["state"] == state:
                return self.status()
            time.sleep(0.2)
        raise AssertionError(f"not {state} after {seconds} s: {self.status()}")


def saved(run: Started, step: int) -> bool:
    return (run.folder / "checkpoints" / f"step_{step}" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_stop_file_stops_all_ranks_at_a_step(runs):
    run = Started(runs, "stop_file").until(3)
    (run.folder / "STOP").touch()
    run.end(30)
    status = run.status()
    assert (
        run.process.codes == [75, 75]
        and status["state"] == "preempted"
        and "file STOP" in status["reason"]
        and status["exit_code"] == 75
    )
    assert saved(run, status["step"]) and not (run.folder / "STOP").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_one_rank_stops_all(runs, number):
    run = Started(runs, f"signalled_{number.name}").until(3)
    run.ranks()[1].send_signal(number)
    run.end(30)
    status = run.status()
    assert (
        run.process.codes == [75, 75]
        and status["state"] == "preempted"
        and f"{number.name}, rank 1" in status["reason"]
    )
    assert saved(run, status["step"])


@pytest.mark.thorough
def test_an_eviction_is_no_success(runs):
    """What Kubernetes does: SIGTERM to the pod's first process."""
    run = Started(runs, "evicted", launcher=ELASTIC).until(3)
    run.process.terminate()
    said = run.end(40)
    status = run.status()
    assert run.process.returncode == 143, said
    assert (
        status["state"] == "preempted" and status["again"] == "yes" and "SIGTERM, rank " in status["reason"]
    )
    assert saved(run, status["step"]) and "resumed from" not in said


@pytest.mark.thorough
def test_ranks_whose_launcher_died_save_and_end(runs):
    run = Started(runs, "orphaned", launcher="deepspeed").until(3)
    ranks = run.ranks()
    launcher = ranks[0].parent()
    launcher.kill()
    status = run.wait_for("preempted", 30)
    run.end(10)
    assert "the launcher is gone" in status["reason"] and saved(run, status["step"])
    assert not psutil.wait_procs(ranks, timeout=20)[1]


def test_a_frozen_rank_is_found_and_named(runs):
    run = Started(runs, "frozen", "train.patience=4").until(3)
    frozen = run.ranks()[1]
    frozen.suspend()
    began = time.monotonic()
    status = run.wait_for("failed", 60)
    frozen.kill()
    run.end(30)
    assert time.monotonic() - began < 60
    assert "hangs" in status["reason"] and "longest unheard first: rank 1 (" in status["reason"]
    traces = (run.folder / "hang_rank0.txt").read_text()
    assert "Thread" in traces and "loop.py" in traces


STALLED = """
import runpy, sys, time
from interbert.train.checkpoints.part_file import PartFile
PartFile.close = lambda self: time.sleep(1000)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def stalling(runs, name: str, *sets: str):
    """A run at step 3 whose next save will not end."""
    words = [sys.executable, "-c", f"import sys; sys.argv.pop(0)\n{STALLED}"]
    process = runs.start([*words, *runs.command(name, "--max-steps", "5000", sets=(*LONG, *sets))])
    for line in process.stdout:
        if line.startswith("step 3/"):
            return process
    raise AssertionError("it ended before")


def test_whoever_presses_ctrl_c_again_does_not_wait_for_the_save(runs):
    process = stalling(runs, "pressed_twice")
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 20
    while not list((runs.folder / "pressed_twice" / "checkpoints").glob(".*.partial")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    status = runs.status("pressed_twice")
    assert process.returncode == 1 and status["state"] == "failed", said
    assert "interrupted a second time" in status["reason"] and "Traceback" not in said


def test_a_save_that_stalls_is_cut_off(runs):
    process = stalling(runs, "stalled", "train.save_patience=3")
    process.terminate()
    said, _ = process.communicate(timeout=30)
    status = runs.status("stalled")
    assert process.returncode == 1 and status["state"] == "failed", said
    assert "rank 0 hangs" in status["reason"] and "in phase 'save'" in status["reason"]
    assert "_save_part" in (runs.folder / "stalled" / "hang_rank0.txt").read_text()


@pytest.mark.slow
def test_a_killed_rank_ends_the_others(runs):
    run = Started(runs, "killed", launcher="torchrun").until(3)
    survivor, victim = run.ranks()
    victim.kill()
    assert not psutil.wait_procs([survivor], timeout=60)[1]
    run.end(30)
    assert run.status()["state"] == "failed"


def test_numbers_that_stay_bad_end_the_run_with_a_record(runs):
    sets = ("train.learning_rate=1e30", "train.warmup_share=0", "train.max_skipped=3")
    output = runs.python("diverged", "--max-steps", "50", sets=sets, code=1)
    assert "3 steps in a row had non-finite losses" in output and "Traceback" not in output
    records = [json.loads(x) for x in (runs.folder / "diverged" / "bad_steps.jsonl").read_text().splitlines()]
    assert len(records) == 3 and records[-1]["grad_norm"] is None
    rank = records[0]["ranks"][0]
    assert rank["micro_batches"][0].startswith("0:") and rank["images"] and "msm" in rank["loss_sums"]
    assert runs.status("diverged")["state"] == "failed"


def test_a_folder_takes_one_run_at_a_time(runs):
    run = Started(runs, "taken").until(3)
    said = runs.python("taken", "--max-steps", "5000", sets=LONG, code=1)
    assert "is in use by a run that is alive (process" in said and "Traceback" not in said
    assert run.status()["state"] == "running"
    (run.folder / "STOP").touch()
    run.end(30)
    assert run.status()["state"] == "preempted"


@pytest.mark.slow
def test_a_killed_group_is_started_again_and_goes_on(runs):
    """torchrun's elastic restarts."""
    sets = (
        "train.schedule_steps=150",
        "train.checkpoint_every=20",
        "train.picture_every=150",
        "train.validate_every=150",
    )
    run = Started(runs, "elastic", *sets, launcher=ELASTIC, steps=150, more=("--resume", "none")).until(45)
    run.ranks()[1].kill()
    said = run.end(150)
    assert "resumed from" in said and run.status()["state"] == "finished", said


@pytest.mark.thorough
def test_an_evicted_pod_is_replaced_and_a_stop_is_not_undone(runs):
    """Two pods of a rank each: one is evicted, the other waits for its replacement and both go on; then STOP."""
    words = ["launch/elastic.sh", "--nnodes", "2", "--nproc_per_node", "1", "--max-restarts", "2"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}", "--rdzv-id", "pods"]
    words += ["--local-addr", "localhost", *runs.command("pods", "--max-steps", "5000", sets=LONG)]

    def pod(name: str) -> tuple:
        log = runs.folder / f"{name}.log"
        with open(log, "w") as file:
            return runs.start(words, start_new_session=True, stdout=file), log

    first, said = pod("first_pod")
    time.sleep(2)  # the store is the first one's
    second, theirs = pod("second_pod")
    wait_until(lambda: "step 3/" in said.read_text() + theirs.read_text(), 120)
    second.terminate()
    assert second.wait(60) == 143 and first.poll() is None, theirs.read_text()
    status = json.loads((runs.folder / "pods" / "status.json").read_text())
    assert status["state"] == "preempted" and "SIGTERM" in status["reason"]
    replaced, its = pod("replaced_pod")
    wait_until(lambda: f"step {status['step'] + 3}/" in said.read_text() + its.read_text(), 120)
    assert "resumed from" in said.read_text() + its.read_text()
    (runs.folder / "pods" / "STOP").touch()
    assert (first.wait(60), replaced.wait(60)) == (0, 0), said.read_text() + its.read_text()
    status = runs.status("pods")
    assert (status["state"], status["again"]) == ("preempted", "no")


def wait_until(seen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it was not seen"
        time.sleep(0.2)


def test_a_run_that_fails_before_it_begins_says_so_and_forgets_nothing(runs):
    runs.python("begun", "--max-steps", "2")
    before = runs.status("begun")
    assert "train.seed" in runs.python("begun", "--max-steps", "4", "--seed", "5", code=1)
    assert runs.status("begun") == before and before["step"] == 2  # another run's words change nothing
    shutil.rmtree(runs.folder / "begun" / "checkpoints")
    for _ in range(2):  # and not at the second attempt either
        assert "a checkpoint of step 2, but there is none" in runs.python("begun", "--max-steps", "4", code=1)
        status = runs.status("begun")
        assert status["state"] == "failed" and status["step"] == 2


def test_too_small_a_disk_is_said_before_training(runs, tiny_disk):
    output = runs.python("anywhere", "--max-steps", "2", "--output-dir", str(tiny_disk / "run"), code=1)
    assert "GB are free" in output and "--output-dir" in output and "step 1/" not in output


def test_a_checkpoint_damaged_on_disk_is_passed_over(runs):
    sets = ("train.checkpoint_every=2",)
    runs.python("bitten", "--max-steps", "4", sets=sets)
    part = next((runs.folder / "bitten" / "checkpoints" / "step_4").glob("part_*"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    output = runs.python("bitten", "--max-steps", "6", sets=sets)
    assert "passed over" in output and "sha256" in output and "resumed from" in output and "step_2" in output
    assert runs.status("bitten")["state"] == "finished"
