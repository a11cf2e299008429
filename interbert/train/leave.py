"""What a run that has come to its end leaves."""

import logging
from pathlib import Path
from typing import Any

from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import export, export_adapter
from interbert.train.loop import Training

log = logging.getLogger(__name__)


def leave(run: Training) -> None:
    """Its weights, exported, and what its task makes of them."""
    chosen, folder, ranks = choose_weights(run), run.folder, run.ranks
    with run.engine.averaged():
        export(run.engine, run.task.tokenizer, folder.export, ranks)
        if run.settings.train.lora:
            export_adapter(run.engine, run.task.tokenizer, folder.adapter, ranks)
        run.task.finish(run.engine, folder.path, chosen, ranks)


def choose_weights(run: Training) -> str:
    """Those that the run leaves, taken up by the engine; in words."""
    progress, ranks = run.progress, run.ranks
    best, last = progress.best_step, progress.step
    if run.settings.train.export == "last" or best is None:
        return f"step {last}, the last"
    if best != last:
        path = run.folder.checkpoints / f"step_{best}"
        state = ranks.main_only(lambda: _verified(path))
        if state is None:
            return f"step {last}, the last, for that of step {best}, the best, is damaged or gone"
        checkpoint.load(run.engine.deepspeed, path, state)
    figure = run.settings.train.best or run.judge.figure
    return f"step {best}, the best by {figure} ({progress.best_figure:.4g})"


def _verified(path: Path) -> dict[str, Any] | None:
    try:
        return checkpoint.verify(path)
    except checkpoint.CheckpointError as error:
        log.warning("%s", error)
        return None
