"""What a fine-tuning run leaves: figures, predictions, a page, and a card for its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.config import Settings
from interbert.files import read_json_lines, write_json
from interbert.ranks.distributed import Ranks
from interbert.tasks.blind.blind import blind
from interbert.tasks.results.metrics import RESULTS
from interbert.tasks.results.model_card import write_card
from interbert.tasks.results.results import Origin, write_results
from interbert.train.checkpoints.tuned_on import TunedOn, note, tuned_by
from interbert.train.engine.engine import Engine

if TYPE_CHECKING:
    from interbert.tasks.finetuning.task import FineTuning


def leave_note(task: FineTuning, settings: Settings, folder: Path, chosen: str) -> TunedOn:
    """Of what it was tuned and chosen on, also where nothing is judged."""
    train, held_out = task.train.examples, task.held_out
    judged_on = held_out.examples.fingerprint if held_out else None
    tuned = tuned_by(settings, str(train.path), train.fingerprint, judged_on, chosen)
    note(folder / "export", tuned)
    return tuned


def leave_results(task: FineTuning, engine: Engine, folder: Path, chosen: str, ranks: Ranks) -> None:
    """chosen: which checkpoint was exported, in words. Call on all ranks."""
    settings, held_out = engine.settings, task.held_out
    outputs, _ = task.judge(settings).outputs(engine, ranks)

    def write() -> None:
        tuned = leave_note(task, settings, folder, chosen)
        origin = Origin(
            str(folder / "export"),
            chosen,
            settings.data.train,
            tuned.tuned_on,
            tuned.tuned_on_fingerprint,
            tuned.chosen_on_fingerprint,
        )
        results = write_results(
            folder, held_out.examples, outputs, task.corpus, origin, settings.task.metric, settings.train.seed
        )
        if settings.scenes and settings.scenes.world and (found := blind_of(task)):
            results |= {"blind": found}
            write_json(folder / RESULTS, results)
        write_card(folder / "export", settings, results, settings.train.schedule_steps)

    ranks.main_only(write)


def blind_of(task: FineTuning) -> dict[str, Any] | None:
    """What can be answered of the same examples without looking; None of examples of a person's own that do not say
    what the baselines learn from."""
    kind = task.settings.task.kind
    right = "shown_by" if kind == "point" else "label"
    files = (read_json_lines(each.examples.path) for each in (task.train, task.held_out))
    train, judged = ([line for line in lines if line.get(right) is not None] for lines in files)
    return blind(kind, train, judged, task.settings.train.seed).as_json() if train and judged else None
