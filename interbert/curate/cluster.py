"""The same stages as arrays of SLURM jobs, or as tasks of a Ray cluster: datatrove starts them.

A task does the units task, task + tasks, …, each watched as on one machine. What is done is told by manifests alone:
datatrove's marks of completion are empty files that say nothing of what was written, and are not believed; its counts
are of one start only, and not used.
"""

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.curate.stages.all import STAGES, to_do
from interbert.curate.stages.plan import Plan, load_plan

_SINGLE = ("index", "settle", "choose")
"""Stages that look at the whole collection."""
REPORT = "report"


@dataclass(frozen=True)
class Task:
    """What datatrove calls for each rank."""

    output: Path
    stage: str

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        from interbert.curate.run import finish, run_stage

        plan = load_plan(self.output)
        if self.stage == REPORT:
            finish(plan)
        else:
            left = [number for number in to_do(plan, self.stage) if number % world_size == rank]
            run_stage(plan, self.stage, workers=1, shown=False, numbers=left)


def stages_of(plan: Plan) -> list[str]:
    return [*(stage for stage in STAGES if stage not in ("score", "choose") or plan.settings.judged), REPORT]


def submit_slurm(plan: Plan, tasks: int, options: Sequence[str]) -> str:
    """Hands all stages to SLURM, each behind the one before it. Returns the number of the last job.

    options: of sbatch, as NAME=VALUE; `time` and `partition` are needed, `qos` may be.
    """
    if shutil.which("sbatch") is None:
        raise ValueError("--slurm needs sbatch, which is not here: start it on a host of the cluster")
    from interbert.curate.slurm import Jobs

    given = _options(options)
    wanted = {name: given.pop(name) for name in ("time", "partition") if name in given}
    if len(wanted) < 2:
        raise ValueError("--slurm needs time=HH:MM:SS and partition=NAME; other options of sbatch may follow")
    memory, qos = int(given.pop("mem_per_cpu_gb", "2")), given.pop("qos", "")
    before = None
    for stage in stages_of(plan):
        before = Jobs(
            pipeline=[Task(plan.output.resolve(), stage)],
            tasks=1 if stage in (*_SINGLE, REPORT) else tasks,
            logging_dir=str(plan.output.resolve() / ".work" / "logs" / stage),
            skip_completed=False,
            job_name=f"curate_{stage}",
            depends=before,
            mem_per_cpu_gb=memory,
            qos=qos,
            # A job has the path of whoever hands it in, and this interpreter's programs may not be on it.
            env_command=f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"',
            # What waits for a job that failed would else stand in the queue for ever.
            sbatch_args={"kill-on-invalid-dep": "yes", **given},
            **wanted,
        )
    try:
        before.run()
    except subprocess.CalledProcessError as error:
        raise ValueError(f"--slurm: sbatch does not take a job ({error}); see what it said above") from None
    return str(before.job_id)


def run_ray(plan: Plan, tasks: int, workers: int) -> None:
    """On the Ray cluster that this process belongs to, or one of this machine; returns when all is done."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("--ray needs Ray: pip install ray")
    from datatrove.executor.ray import RayPipelineExecutor

    for stage in stages_of(plan):
        single = stage in (*_SINGLE, REPORT)
        RayPipelineExecutor(
            pipeline=[Task(plan.output.resolve(), stage)],
            tasks=1 if single else tasks,
            workers=1 if single else workers,
            logging_dir=str(plan.output.resolve() / ".work" / "logs" / stage),
            skip_completed=False,
        ).run()


def _options(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or not name:
            raise ValueError(f"--slurm {one}: write it as NAME=VALUE, such as partition=cpu")
        found[name.lstrip("-").replace("-", "_") if name == "mem-per-cpu-gb" else name.lstrip("-")] = value
    return found
