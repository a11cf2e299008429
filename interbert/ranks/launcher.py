"""Who started this process as a rank, by the words that launchers leave in its environment."""

from collections.abc import Mapping
from typing import Literal

Launcher = Literal["deepspeed", "torchrun", "mpirun", "srun", "python"]


def started_by(environment: Mapping[str, str]) -> Launcher:
    """python: nobody, it is a process alone."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return "torchrun" if "TORCHELASTIC_RUN_ID" in environment else "deepspeed"
    by_srun = "SLURM_STEP_ID" in environment and "SLURM_PROCID" in environment
    # srun may speak PMI; and within a job mpirun's own daemons are started by srun.
    if "OMPI_COMM_WORLD_SIZE" in environment or ("PMI_SIZE" in environment and not by_srun):
        return "mpirun"
    return "srun" if by_srun else "python"


def ranks_here(environment: Mapping[str, str], world_size: int) -> int:
    """How many ranks this host has."""
    return int(environment.get("LOCAL_WORLD_SIZE", environment.get("LOCAL_SIZE", world_size)))
