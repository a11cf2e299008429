"""Every way to start a run trains the same: one rank or two, whoever started them."""

import os
import shutil
import sys

import pytest
from processes import BIN, free_port, torchrun

TWO_STEPS = ("--max-steps", "2")

LAUNCHERS = {
    "torchrun": torchrun,
    "mpirun": lambda: ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable],
    "srun": lambda: ["srun", "-n", "2", sys.executable],
}


@pytest.fixture(scope="module")
def one_rank(runs) -> list[float]:
    words = [sys.executable, *runs.command("one", *TWO_STEPS)]
    runs.run(words, really=True)
    return runs.losses("one")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_ranks_train_as_one(runs, one_rank, launcher):
    start = LAUNCHERS[launcher]()
    if shutil.which(start[0]) is None:
        pytest.skip(f"{launcher} is not installed")
    if launcher == "srun" and os.system("sinfo -h >/dev/null 2>&1"):
        pytest.skip("no SLURM controller answers")
    output = runs.run([*start, *runs.command(launcher, *TWO_STEPS)])
    assert f"2 rank(s) by {launcher}" in output
    assert runs.losses(launcher) == pytest.approx(one_rank, rel=1e-5)
    assert runs.status(launcher)["state"] == "finished"


@pytest.mark.slow
def test_hostfile_behind_the_script_is_obeyed(runs, one_rank):
    """And so is deepspeed, which starts the two ranks."""
    hosts = runs.folder / "hosts"
    hosts.write_text("localhost slots=2\n")
    flags = ["--hostfile", str(hosts), "--master_port", free_port()]
    command = runs.command("hostfile", *TWO_STEPS, *flags)
    output = runs.run([str(BIN / "deepspeed"), *command])
    assert f"starting: deepspeed {' '.join(flags)} launch/pretrain.py" in output
    assert "2 rank(s) by deepspeed" in output
    assert runs.losses("hostfile") == pytest.approx(one_rank, rel=1e-5)
    assert runs.status("hostfile")["state"] == "finished"


def test_missing_hostfile_stops_the_run(runs):
    command = runs.command("missing", *TWO_STEPS, "--hostfile", "/nowhere/hosts")
    output = runs.run([sys.executable, *command], code=1)
    assert "no hostfile /nowhere/hosts" in output
    assert not (runs.folder / "missing").exists()
