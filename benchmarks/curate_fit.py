"""How well the fit of made pages' texts is told, and what training on the result is worth.

At each share of noise and for each seed a crawl of made pages is collected by the rules alone, and its texts are
scored by a model (`--model`, trained on clean scenes) and a scorer that has learnt from 300 labels of four of the
templates. Judged on the four others: average precision against whether a text is true (beside the match head alone,
and the number of words shared with the page's title), how often the best text is true, calibration.

With --induced three stores are written of one crawl, each image with one text: the first that its page gives
(unfiltered), the one that fits best of the images that are kept (filtered), a true one (oracle). A model is trained
on each for as many steps, from nothing, and searches among clean scenes that none has seen.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.corpus.corpus import Corpus
from interbert.curate.fit.matcher import Matcher
from interbert.curate.fit.scorer import match_alone, train_scorer
from interbert.curate.run import Wishes, curate
from interbert.curate.settings import CurateSettings, FitRules
from interbert.curate.stages.plan import Plan, load_plan
from interbert.curate.stages.score import columns_of_rows, put_best_first
from interbert.curate.stages.settle import SHARD
from interbert.curate.stages.write import Files
from interbert.curate.texts.words import letters_alone, words_of
from interbert.curate.truth import GOOD
from interbert.sources.scenes.pages.write import LABELS, write_pages
from interbert.sources.scenes.write import write_scenes
from interbert.store.writer import StoreWriter

ROOT = Path(__file__).resolve().parent.parent
GIVEN = 300
WAYS = ("scorer", "match head", "shared words")
Row = dict[str, Any]


@dataclass
class Crawl:
    rows: list[tuple[Row, np.ndarray]]
    """Images that passed the rules, with the columns of their texts."""
    kinds: dict[tuple[str, str, str], str]
    """(page, image, plain text) -> kind of what is said."""
    part: dict[str, str]
    """Of a page."""
    features: Path

    def truth(self, row: Row) -> list[bool | None]:
        """Of each text; None: nobody has said."""
        found = []
        for one in row["texts"]:
            kind = self.kinds.get((one["page"], row["image"], letters_alone(one["text"])))
            if kind is None and one["source"] in ("page", "description"):
                kind = "page topic"
            found.append(None if kind is None else kind in GOOD)
        return found


def main() -> None:
    given = parse_arguments()
    figures: dict[str, Any] = {"pages": given.pages, "seeds": given.seeds, "noise": {}}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for noise in given.noise:
            found = []
            for seed in range(1, given.seeds + 1):
                crawl = collected(Path(folder) / f"{noise}_{seed}", given.pages, seed, noise, given.model)
                found.append(judged(crawl, seed))
            figures["noise"][str(noise)] = summary(found)
        show(figures)
        if given.induced:
            figures["induced"] = induced(Path(folder), given)
            print(json.dumps(figures["induced"], indent=2))
    report.write_json(given.json, figures)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--model", type=Path, default=Path("runs/scenes/export"), help="(runs/scenes/export)")
    parser.add_argument("--pages", type=int, default=400, help="of a crawl (400)")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2, 0.4, 0.6, 0.8])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--induced", action="store_true", help="train on what was collected, too")
    parser.add_argument("--steps", type=int, default=1800, help="of each of these trainings (1800)")
    parser.add_argument("--folder", type=Path, help="where files are made for the while (the system's)")
    return parser.parse_args()


def collected(folder: Path, pages: int, seed: int, noise: float, model: Path) -> Crawl:
    photos = write_pages(folder / "made", pages, seed, "train", noise)
    features = folder / "scenes.h5"
    write_scenes(features, photos, seed, feature_width=width_of(model), captions=1)
    curate(Wishes([folder / "made"], [], [], folder / "pairs", CurateSettings()))
    plan = load_plan(folder / "pairs")
    rules = FitRules(model=str(model), features=str(features))
    with Matcher(rules) as matcher:
        scored = columns_of_rows(list(rows_of(plan)), matcher, Files(plan), rules.others)
        rows = [(row, columns) for row, columns in scored if columns is not None]
    kinds, part = {}, {}
    with open(folder / "made" / LABELS, encoding="utf-8") as file:
        for line in file:
            one = json.loads(line)
            part[one["page"]] = one["part"]
            if one["what"] == "text":
                kinds[one["page"], one["image"], letters_alone(one["meant"] or one["text"])] = one["kind"]
    return Crawl(rows, kinds, part, features)


def width_of(model: Path) -> int:
    return json.loads((model / "config.json").read_text())["feature_width"]


def rows_of(plan: Plan) -> Iterable[Row]:
    for number in range(1, plan.part("settle", 0).manifest()["shards"] + 1):
        yield from plan.part("settle", number).lines(SHARD)


def texts_of(crawl: Crawl, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns and truth of the texts of a part, and the number of words that each shares with its page's title."""
    columns, truth, shared = [], [], []
    for row, own in crawl.rows:
        if crawl.part[row["page"]] != part:
            continue
        titles = {word for one in row["texts"] if one["source"] == "page" for word in words_of(one["text"])}
        for one, fits, line in zip(row["texts"], crawl.truth(row), own, strict=True):
            if fits is not None:
                columns.append(line)
                truth.append(fits)
                shared.append(len(titles.intersection(words_of(one["text"]))))
    return np.stack(columns), np.array(truth), np.array(shared)


def scorer_of(crawl: Crawl, seed: int):
    """From 300 labels of the tuning part."""
    columns, truth, _ = texts_of(crawl, "tuning")
    order = np.random.default_rng(seed).permutation(len(truth))[:GIVEN]
    weak = columns[:0], truth[:0]
    return train_scorer((columns[order], truth[order]), weak, seed)


def judged(crawl: Crawl, seed: int) -> dict[str, float]:
    scorer = scorer_of(crawl, seed)
    columns, truth, shared = texts_of(crawl, "judging")
    said = {
        "scorer": scorer.probabilities(columns) + 1e-6 * scorer.raw(columns),
        "match head": match_alone().probabilities(columns),
        "shared words": shared,
    }
    found = {f"average precision, {way}": average_precision_score(truth, said[way]) for way in WAYS}
    found["share of true texts"] = truth.mean()
    found["calibration error"] = calibration_error(said["scorer"], truth)
    return found | best_texts(crawl, scorer)


def calibration_error(said: np.ndarray, truth: np.ndarray) -> float:
    """Between what is said and what is true, over ten bins of as many texts."""
    parts = np.array_split(np.argsort(said), 10)
    return float(sum(abs(said[part].mean() - truth[part].mean()) * len(part) for part in parts) / len(said))


def best_texts(crawl: Crawl, scorer: Any) -> dict[str, float]:
    """Of images with a true and a false text: how often the one that is taken is true."""
    right: dict[str, list[bool]] = {"first": [], "best": []}
    for row, columns in crawl.rows:
        truth = crawl.truth(row)
        if crawl.part[row["page"]] != "judging" or not {True, False} <= set(truth):
            continue
        known = [number for number, fits in enumerate(truth) if fits is not None]
        fits = scorer.raw(columns)
        right["first"].append(bool(truth[known[0]]))
        right["best"].append(bool(truth[max(known, key=lambda number, fits=fits: fits[number])]))
    return {f"right text, {way}": float(np.mean(one)) for way, one in right.items()}


def summary(found: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean over seeds, and half of a 95 % interval of it."""
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    half = {name: 1.96 * v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0.0 for name, v in values.items()}
    return {name: [float(v.mean()), float(half[name])] for name, v in values.items()}


def show(figures: dict[str, Any]) -> None:
    names = list(next(iter(figures["noise"].values())))
    rows = [
        [
            name,
            *(
                f"{100 * found[name][0]:.1f} ± {100 * found[name][1]:.1f}"
                for found in figures["noise"].values()
            ),
        ]
        for name in names
    ]
    report.table("judged on templates that nothing was tuned on, %", ["noise", *figures["noise"]], rows)


def induced(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """R@1 of text to image among clean test scenes, after as many steps on each collection."""
    crawl = collected(folder / "induced", given.pages, 99, 0.5, given.model)
    scorer = scorer_of(crawl, 99)
    test = folder / "test.h5"
    write_scenes(test, 200, 1, "test", width_of(given.model))
    pairs: dict[str, list[tuple[str, str]]] = {"unfiltered": [], "filtered": [], "oracle": []}
    ranked = []
    for row, columns in crawl.rows:
        scene = Path(row["image"]).stem
        pairs["unfiltered"].append((scene, row["texts"][0]["text"]))
        true = [one["text"] for one, fits in zip(row["texts"], crawl.truth(row), strict=True) if fits]
        pairs["oracle"] += [(scene, true[0])] if true else []
        put_best_first(row, scorer, columns)
        ranked.append((row["scores"]["fit"], scene, row["texts"][0]["text"]))
    ranked.sort(reverse=True)
    share = len(pairs["oracle"]) / len(crawl.rows)
    pairs["filtered"] = [(scene, text) for _, scene, text in ranked[: int(share * len(ranked))]]
    found: dict[str, Any] = {}
    for name, chosen in pairs.items():
        store = folder / f"{name}.h5"
        write_store(store, crawl.features, chosen)
        found[name] = {"pairs": len(chosen), **trained(folder / f"run_{name}", store, test, given)}
    low, middle, high = (found[name]["r1"] for name in ("unfiltered", "filtered", "oracle"))
    found["recovered"] = (middle - low) / (high - low) if high > low else None
    return found


def write_store(path: Path, features: Path, pairs: list[tuple[str, str]]) -> None:
    with Corpus([features]) as corpus, StoreWriter(
        path, corpus.feature_width, classes=corpus.classes, evidence="class_probs", source=path.stem,
        class_names=corpus.class_names,
    ) as store:  # fmt: skip
        for number, (scene, text) in enumerate(pairs):
            image = corpus.image_of(scene)
            assert image is not None
            count = int(corpus.region_counts[image])
            features_RD, boxes_R4 = corpus.read(np.array([image]), np.array([count]))
            probs_RK, _ = corpus.read_evidence(np.full(count, image), np.arange(count))
            store.add_images(
                [f"{scene}-{number}"],
                corpus.sizes[[image]],
                np.array([count]),
                boxes_R4,
                features_RD,
                probs_RK,
            )
            store.add_captions(number, [text])


def trained(output: Path, store: Path, test: Path, given: argparse.Namespace) -> dict[str, float]:
    command = [
        sys.executable, "launch/pretrain.py", "--recipe", "scenes", "--deepspeed_config", "cpu", "--data", store,
        "--output-dir", output, "--set", f"data.tokenizer={given.model}", "--set", f"data.validation=[{test}]",
        "--set", f"train.schedule_steps={given.steps}",
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = output / "retrieval.json"
    command = [
        sys.executable, "launch/evaluate.py", "--task", "retrieval", "--model", output / "export", "--data", test,
        "--output", result,
    ]  # fmt: skip
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {"r1": json.loads(result.read_text())["text_to_image"]["r1"]}


if __name__ == "__main__":
    main()
