"""What a fine-tuning run leaves: figures, predictions, a page, and a card for its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interbert.ranks.distributed import Ranks
from interbert.tasks.model_card import write_card
from interbert.tasks.results import Origin, write_results
from interbert.train.engine.engine import Engine

if TYPE_CHECKING:
    from interbert.tasks.finetuning.task import FineTuning


def leave_results(task: FineTuning, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
    """chosen: which checkpoint was exported, in words. Call on all ranks."""
    settings, held_out = engine.settings, task.held_out
    outputs, _ = task.judge(settings).outputs(engine, ranks)
    origin = Origin(
        model=str(folder / "export"),
        checkpoint=chosen,
        stores=settings.data.train,
        tuned_on=str(task.train.examples.path),
        tuned_on_fingerprint=task.train.examples.fingerprint,
        chosen_on_fingerprint=held_out.examples.fingerprint,
    )

    def write() -> None:
        results = write_results(
            folder, held_out.examples, outputs, task.corpus, origin, settings.task.metric, settings.train.seed
        )
        write_card(folder / "export", settings, results, settings.train.schedule_steps)

    ranks.main_only(write)
