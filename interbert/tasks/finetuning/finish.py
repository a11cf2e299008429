"""What a fine-tuning run leaves: figures, predictions, a page, and a card for its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.files import read_json_lines, write_json
from interbert.ranks.distributed import Ranks
from interbert.tasks.blind.blind import blind
from interbert.tasks.results.metrics import METRICS, RESULTS
from interbert.tasks.results.model_card import write_card
from interbert.tasks.results.results import Origin, write_results
from interbert.tasks.retrieval.tile_folder import clear
from interbert.train.engine.engine import Engine

if TYPE_CHECKING:
    from interbert.tasks.finetuning.task import FineTuning


TUNED_ON = "tuned_on.json"
"""In an exported model: what it was fine-tuned and chosen on, for who judges it later."""
FINGERPRINTS = ("tuned_on_fingerprint", "chosen_on_fingerprint")
LENGTHS = "lengths"
"""In the same file: the most tokens and regions of a pair that it was tuned with."""


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
        noted = {name: getattr(origin, name) for name in ("tuned_on", *FINGERPRINTS)}
        noted[LENGTHS] = {name: getattr(settings.data, name) for name in ("max_text_tokens", "max_regions")}
        write_json(folder / "export" / TUNED_ON, noted)
        results = write_results(
            folder, held_out.examples, outputs, task.corpus, origin, settings.task.metric, settings.train.seed
        )
        if settings.scenes and settings.scenes.world:
            results |= {"blind": blind_of(task)}
            write_json(folder / RESULTS, results)
        write_card(folder / "export", settings, results, settings.train.schedule_steps)

    ranks.main_only(write)


def blind_of(task: FineTuning) -> dict[str, Any]:
    """What can be answered of the same examples without looking."""
    train, judged = (read_json_lines(each.examples.path) for each in (task.train, task.held_out))
    return blind(task.settings.task.kind, train, judged, task.settings.train.seed).as_json()


def found_at(figures: dict[str, Any], name: str) -> float:
    way, _, recall = name.partition(".")
    return figures[way][recall]


def leave_retrieval(settings: Settings, folder: Path, chosen: str, trained_on: str, ranks: Ranks) -> None:
    """Figures of the exported model on the validation stores, all pairs of them."""
    from interbert.tasks.retrieval.evaluation import Options, evaluate_model

    work = folder / "results.tiles"  # so that a killed evaluation goes on where it was
    options = Options(skip_damaged=settings.data.skip_damaged > 0)
    found = evaluate_model(folder / "export", settings.data.validation, ranks, options, work)
    with Corpus(settings.data.validation) as held_out:
        fingerprint = held_out.fingerprint
    figures = {metric.name: found_at(found, metric.name) for metric in METRICS["retrieval"]}
    results = {
        "kind": "retrieval",
        "metric": "text_to_image.r1",
        "value": figures["text_to_image.r1"],
        "larger_is_better": True,
        "examples": found["captions"],
        "left_out": found.get("left_out", 0),
        "figures": {name: {"value": value} for name, value in figures.items()},
        "by_type": {},
        "model": str(folder / "export"),
        "checkpoint": chosen,
        "data": {
            "examples": "all pairs of images and captions",
            "fingerprint": fingerprint,
            "stores": settings.data.validation,
        },
        "tuned_on": ", ".join(settings.data.train),
        "tuned_on_this_data": fingerprint == trained_on,
        "chosen_on_this_data": settings.train.export == "best",
    }

    def write() -> None:
        write_json(folder / RESULTS, results)
        clear(work)
        write_card(folder / "export", settings, results, settings.train.schedule_steps)

    ranks.main_only(write)
