"""Weights & Biases and MLflow, offline where nobody says how to reach them."""

import os
from pathlib import Path
from typing import Any

from interbert.recipe import flatten


class _WandB:
    def __init__(self, run: Any) -> None:
        self.run, self.kept = run, run.id

    def log(self, step: int, figures: dict[str, float]) -> None:
        self.run.log(figures, step=step)

    def close(self) -> None:
        self.run.finish()


def wandb(folder: Path, settings: dict[str, Any], kept: str) -> _WandB:
    """Into the run's folder, for `wandb sync` later, where there is neither a key nor a mode."""
    import wandb

    told = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE")
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or "interbert",
        name=folder.name,
        dir=folder,
        config=settings,
        id=kept or None,
        resume="allow",
        mode=None if told else "offline",
    )
    return _WandB(run)


class _MLflow:
    def __init__(self, client: Any, kept: str) -> None:
        self.client, self.kept = client, kept

    def log(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.client.log_metric(self.kept, name, value, step=step)

    def close(self) -> None:
        self.client.set_terminated(self.kept)


LONGEST = 6000
"""Letters of a parameter that every version of MLflow takes."""


def mlflow(folder: Path, settings: dict[str, Any], kept: str) -> _MLflow:
    """Where MLFLOW_TRACKING_URI says, or into a data base in the run's folder."""
    from mlflow import MlflowClient

    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve()}/mlflow.db")
    if kept:
        client.update_run(kept, status="RUNNING")
        return _MLflow(client, kept)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "interbert"
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    run = client.create_run(number, run_name=folder.name).info.run_id
    for key, value in flatten(settings).items():
        client.log_param(run, key, str(value)[:LONGEST])
    return _MLflow(client, run)
