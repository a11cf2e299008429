"""What a run that was tuned for retrieval leaves: figures of all pairs of the validation stores, who was found by
each query, their page, and a card for the model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.files import replaced, strict, write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.tasks.results.answers import Answers
from interbert.tasks.results.figures import bootstrap, mean_of
from interbert.tasks.results.metrics import METRICS, RESULTS
from interbert.tasks.results.model_card import write_card
from interbert.tasks.results.outputs import Outputs
from interbert.tasks.results.page.judged import Judged
from interbert.tasks.results.page.page import results_page
from interbert.tasks.results.results import PAGE, PREDICTIONS
from interbert.tasks.retrieval.evaluation import Options, evaluate_model
from interbert.tasks.retrieval.found import Found
from interbert.tasks.retrieval.tile_folder import clear
from interbert.train.checkpoints.tuned_on import note, tuned_by

SHOWN = 5
"""Images of a caption on the page; its own besides."""


def leave_note(settings: Settings, folder: Path, chosen: str, trained_on: str) -> None:
    judged_on = None
    if settings.data.validation:
        with Corpus(settings.data.validation) as held_out:
            judged_on = held_out.fingerprint
    tuned = tuned_by(settings, ", ".join(settings.data.train), trained_on, judged_on, chosen)
    note(folder / "export", tuned)


def leave_retrieval(settings: Settings, folder: Path, chosen: str, ranks: Ranks) -> None:
    """Of the exported model, with texts and regions cut as they were learnt from. Call on all ranks."""
    work = folder / "results.tiles"  # so that a killed evaluation goes on where it was
    data = settings.data
    options = Options(
        skip_damaged=data.skip_damaged > 0, max_text_tokens=data.max_text_tokens, max_regions=data.max_regions
    )
    told = Found()
    figures = evaluate_model(folder / "export", data.validation, ranks, options, work, told)

    def write() -> None:
        with Corpus(data.validation) as held_out:
            results = results_of(figures, told, held_out, settings) | {"checkpoint": chosen}
            write_predictions(folder / PREDICTIONS, told, held_out)
            write_text(folder / PAGE, results_page(judged_of(results, told, held_out)))
        write_json(folder / RESULTS, results)
        clear(work)
        write_card(folder / "export", settings, results, settings.train.schedule_steps)

    ranks.main_only(write)


def results_of(figures: dict[str, Any], told: Found, held_out: Corpus, settings: Settings) -> dict[str, Any]:
    """As in results.json. Captions are drawn again for text to image, images with captions for image to text."""
    ranks = {"text_to_image": told.rank_C, "image_to_text": told.rank_I[~np.isnan(told.rank_I)]}
    with_intervals = {}
    for number, (way, rank_Q) in enumerate(ranks.items()):
        recalls = {f"{way}.r{k}": (rank_Q <= k).astype(float) for k in (1, 5, 10)}
        formulas = {name: mean_of(hit_Q) for name, hit_Q in recalls.items()}
        ends = bootstrap(formulas, len(rank_Q), (settings.train.seed, number))
        for name, (low, high) in ends.items():
            with_intervals[name] = {"value": figures[way][name.rpartition(".")[2]], "low": low, "high": high}
    return {
        "kind": "retrieval",
        "metric": "text_to_image.r1",
        "value": with_intervals["text_to_image.r1"]["value"],
        "larger_is_better": True,
        "examples": figures["captions"],
        "without_label": 0,
        "left_out": figures.get("left_out", 0),
        "figures": {metric.name: with_intervals[metric.name] for metric in METRICS["retrieval"]},
        "by_type": {},
        "data": {
            "examples": "all pairs of images and captions",
            "fingerprint": held_out.fingerprint,
            "stores": settings.data.validation,
        },
        **{
            name: figures[name] for name in ("model", "tuned_on", "tuned_on_this_data", "chosen_on_this_data")
        },
    }


def write_predictions(path: Path, told: Found, held_out: Corpus) -> None:
    with replaced(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for line in predictions(told, held_out):
            file.write(json.dumps(strict(line), ensure_ascii=False, allow_nan=False) + "\n")


def predictions(told: Found, held_out: Corpus) -> Iterator[dict[str, Any]]:
    """A line for each caption that asks for its image, then one for each image that asks for its captions. Captions
    are called by their numbers in the data."""
    names_I = [held_out.image_id(int(image)) for image in told.images_I]
    names_C = [f"caption {number}" for number in told.captions_C.tolist()]
    for place, name in enumerate(names_C):
        scores = _scores(told.images_CK[place], told.odds_CK[place], names_I)
        yield {
            "type": "text_to_image",
            "text": held_out.caption_text(int(told.captions_C[place])),
            "id": name,
            "prediction": next(iter(scores), None),
            "scores": scores,
            "label": names_I[told.image_of_C[place]],
            "right": bool(told.rank_C[place] <= 1),
            "rank": float(told.rank_C[place]),
        }
    for place in np.flatnonzero(~np.isnan(told.rank_I)).tolist():
        scores = _scores(told.captions_IK[place], told.odds_IK[place], names_C)
        yield {
            "type": "image_to_text",
            "id": names_I[place],
            "prediction": next(iter(scores), None),
            "scores": scores,
            "label": [names_C[own] for own in np.flatnonzero(told.image_of_C == place)],
            "right": bool(told.rank_I[place] <= 1),
            "rank": float(told.rank_I[place]),
        }


def _scores(places_K: np.ndarray, odds_K: np.ndarray, names: list[str]) -> dict[str, float]:
    """Probabilities, the highest first."""
    there = places_K >= 0
    chances = _chances(odds_K[there])
    return {
        names[place]: float(f"{chance:.6g}")
        for place, chance in zip(places_K[there].tolist(), chances.tolist(), strict=True)
    }


def _chances(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds.astype(float).clip(-700, 700)))


def judged_of(results: dict[str, Any], told: Found, held_out: Corpus) -> Judged:
    """For the page: each caption with the images that it finds, and behind them its own, where that is not among
    them."""
    places_CK, odds_CK = told.images_CK[:, :SHOWN], told.odds_CK[:, :SHOWN]
    own_CK = places_CK == told.image_of_C[:, None]
    image_CK = np.concatenate([places_CK, told.image_of_C[:, None]], axis=1)
    chance_CK = _chances(np.concatenate([odds_CK, told.odds_C[:, None]], axis=1))
    there_CK = np.concatenate([places_CK >= 0, ~own_CK.any(1, keepdims=True)], axis=1)
    first_pair = np.concatenate([[0], np.cumsum(there_CK.sum(1))])
    captions = told.captions_C.tolist()
    text_of = {text: n for n, text in enumerate(dict.fromkeys(map(held_out.caption_text, captions)))}
    text_C = np.array([text_of[held_out.caption_text(caption)] for caption in captions], np.int32)
    is_match_CK = image_CK == told.image_of_C[:, None]
    examples = Examples(
        path=Path(", ".join(Path(store).name for store in results["data"]["stores"])),
        kind="match",
        ids=[f"caption {caption}" for caption in captions],
        first_pair=first_pair,
        image_P=told.images_I[image_CK[there_CK]].astype(np.int32),
        text_P=np.repeat(text_C, there_CK.sum(1)),
        texts=[(text,) for text in text_of],
        classes=[],
        labels_N=None,
        scores=None,
        values_N=None,
        is_match_P=is_match_CK[there_CK].astype(np.int64),
        boxes=None,
        types=[""] * len(captions),
        line_at=np.zeros(len(captions) + 1, np.int64),
        fingerprint=results["data"]["fingerprint"],
    )
    outputs = Outputs(chance_CK[there_CK].astype(np.float32), first_pair, np.zeros(len(captions), bool))
    answers = Answers(
        counts_N=np.ones(len(captions), bool),
        place_N=np.zeros(len(captions), np.int64),
        sure_N=chance_CK[:, 0],
        right_N=(told.rank_C <= 1).astype(float),
    )
    return Judged(results, examples, outputs, answers, held_out)
