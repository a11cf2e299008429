"""What the tests' own processes are: forked ones as ready as promised, none of them with a GPU in sight."""

import signal
import sys

import pytest
import torch
from processes import deepspeed, torchrun

TELL = (
    "import os, sys; "
    "print(os.environ.get('RANK'), repr(os.environ['CUDA_VISIBLE_DEVICES']), 'deepspeed' in sys.modules)"
)


def test_a_forked_process_has_imported_everything_and_ends_as_it_says(runs):
    said = runs.run([sys.executable, "-c", f"{TELL}; sys.exit('a reason')"], code=1)
    assert said == "None '' True\na reason\n"
    assert "No module" not in runs.run([sys.executable, "-m", "interbert", "settings"])
    process = runs.start([sys.executable, "-c", "import time; print('here', flush=True); time.sleep(99)"])
    assert process.stdout.readline() == "here\n" and process.returncode is None
    process.kill()
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


def test_two_forked_ranks_are_two(runs):
    process = runs.ranks(["-c", f"{TELL}; sys.exit(3 * int(os.environ['RANK']))"])
    said, _ = process.communicate(timeout=20)
    assert sorted(said.splitlines()) == ["0 '' True", "1 '' True"]
    assert process.codes == [0, 3] and process.returncode == 3


MEET = """
import glob, os, torch.distributed as dist
from interbert.ranks.distributed import start_ranks
start_ranks()
dist.barrier()
port = os.environ["MASTER_PORT"]
with open("/proc/self/maps") as maps:
    opened = len({line.split()[5] for line in maps if f"_{port}_" in line})
named = len(glob.glob(f"/dev/shm/deepspeed_allreduce_buffer_*_{port}_*"))
print(f"opened {opened}, named {named}\\n", end="")
"""


def test_ranks_leave_nothing_in_the_hosts_memory(runs):
    said = runs.ranks(["-c", MEET]).communicate(timeout=60)[0]
    assert said.count("opened 2, named 0\n") == 2, said


def test_a_process_that_is_really_started_sees_no_gpu(runs):
    assert runs.run([sys.executable, "-c", TELL], really=True) == "None '' False\n"


@pytest.mark.thorough
@pytest.mark.parametrize("launcher", [deepspeed, torchrun])
def test_a_launchers_ranks_see_no_gpu(runs, launcher, tmp_path):
    """DeepSpeed's launcher shows each rank the GPUs that it should use, in the very variable that hides them."""
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    said = runs.run([*launcher(), str(script)])
    assert said.count("0 '' False") == said.count("1 '' False") == 1


SAME = (
    "model.override={hidden_size: 32, pooler_size: 32, embedding_dropout: 0, pooled_dropout: 0, stages: ["
    "{kind: joint, layers: 1, heads: 2, intermediate_size: 64, hidden_dropout: 0, attention_dropout: 0}, "
    "{kind: text, layers: 1, heads: 2, intermediate_size: 64, hidden_dropout: 0, attention_dropout: 0}, "
    "{kind: image, layers: 1, heads: 2, intermediate_size: 64, hidden_dropout: 0, attention_dropout: 0}]}"
)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_is_that_on_a_cpu_and_goes_on(runs):
    runs.python("on_cpu", "--max-steps", "4", config="zero0_fp32", sets=(SAME,))
    for steps in ("2", "4"):
        words = runs.command("on_gpu", "--max-steps", steps, config="zero0_fp32", sets=(SAME,))
        said = runs.run([sys.executable, *words], really=True, gpus=True)
    assert "resumed from" in said and "on cuda" in said
    assert runs.losses("on_gpu") == pytest.approx(runs.losses("on_cpu"), rel=1e-2)
