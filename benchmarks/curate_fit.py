"""How well the fit of made pages' texts is told.

At each share of noise and for each seed a crawl of made pages is collected by the rules alone, and its texts are
scored by a model (`--model`, trained on clean scenes) and a scorer that has learnt from 300 labels of four of the
templates, drawn from all crawls of that noise. Judged on the four others, crawl by crawl: average precision against
whether a text is true (beside the match head alone, and the number of words shared with the page's title), how often
the best text is true, calibration, abstention.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.curate_crawls import Seen, seen
from interbert.curate.fit.scorer import Labels, Scorer, match_alone, train_scorer
from interbert.curate.settings import FitRules
from interbert.curate.texts.words import words_of

GIVEN = 300
LEAST, KEEP = FitRules().least, FitRules().keep


def main() -> None:
    given = parse_arguments()
    figures: dict[str, Any] = {
        "pages": given.pages,
        "seeds": given.seeds,
        "first_seed": given.first_seed,
        "noise": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for noise in given.noise:
            crawls = [
                seen(folder / f"{noise}_{seed}", given.pages, seed, noise, given.model)
                for seed in range(given.first_seed, given.first_seed + given.seeds)
            ]
            everything = [image for images in crawls for image in images]
            found = [
                judged(images, scorer_of(everything, seed))
                for seed, images in enumerate(crawls, given.first_seed)
            ]
            figures["noise"][str(noise)] = summary(found)
        show(figures)
    report.write_json(given.json, figures)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--model", type=Path, default=Path("runs/scenes/export"), help="(runs/scenes/export)")
    parser.add_argument("--pages", type=int, default=400, help="of a crawl (400)")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2, 0.4, 0.6, 0.8])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--first-seed", type=int, default=1, help="and those behind it; others than before are fresh"
    )
    parser.add_argument("--folder", type=Path, help="where crawls are kept, to be scored anew in seconds")
    return parser.parse_args()


def texts_of(images: list[Seen], part: str) -> tuple[Labels, np.ndarray]:
    """Of the texts of a part what is known, and the number of words that each shares with its page's title."""
    columns, truth, number_of, shared = [], [], [], []
    for number, image in enumerate(images):
        if image.part != part:
            continue
        titles = {word for source, text in image.texts if source == "page" for word in words_of(text)}
        for (_, text), fits, line in zip(image.texts, image.truth, image.columns, strict=True):
            if fits is not None:
                columns.append(line)
                truth.append(fits)
                number_of.append(number)
                shared.append(len(titles.intersection(words_of(text))))
    return Labels(np.stack(columns), np.array(truth), np.array(number_of)), np.array(shared)


def scorer_of(images: list[Seen], seed: int) -> Scorer:
    """From 300 labels of the tuning part."""
    labels, _ = texts_of(images, "tuning")
    order = np.random.default_rng(seed).permutation(len(labels.fits_N))
    return train_scorer(labels.taken(order[:GIVEN]), labels.taken(order[:0]), seed)


def judged(images: list[Seen], scorer: Scorer) -> dict[str, float]:
    labels, shared = texts_of(images, "judging")
    truth, head = labels.fits_N, match_alone()
    said = {
        "scorer": scorer.logits(labels.columns_NF), "match head": head.logits(labels.columns_NF),
        "shared words": shared,
    }  # fmt: skip
    found = {f"average precision, {way}": average_precision_score(truth, own) for way, own in said.items()}
    found["scorer above head"] = found["average precision, scorer"] - found["average precision, match head"]
    found["share of true texts"] = truth.mean()
    for way, one in (("scorer", scorer), ("match head", head)):
        found[f"calibration error, {way}"] = calibration_error(one.probabilities(labels.columns_NF), truth)
    return found | best_texts([one for one in images if one.part == "judging"], scorer)


def calibration_error(said: np.ndarray, truth: np.ndarray) -> float:
    """Between what is said and what is true, over ten bins of as many texts."""
    parts = np.array_split(np.argsort(said), 10)
    return float(sum(abs(said[part].mean() - truth[part].mean()) * len(part) for part in parts) / len(said))


def best_texts(images: list[Seen], scorer: Scorer) -> dict[str, float]:
    """Of images with a true and a false text, how often the one that is taken is true. Of all images, how many of the
    taken texts are true: of the first ones, of those that fit by enough, of the share that fits best. Of images
    without a true text, how many have none then."""
    first, best, fit, some = [], [], [], []
    for image in images:
        known = [number for number, fits in enumerate(image.truth) if fits is not None]
        if not known:
            continue
        fits = scorer.probabilities(image.columns)
        top = max(known, key=lambda number, fits=fits: fits[number])
        first.append(bool(image.truth[known[0]]))
        best.append(bool(image.truth[top]))
        fit.append(float(fits[top]))
        some.append(True in image.truth)
    first_I, best_I, fit_I, some_I = map(np.array, (first, best, fit, some))
    both_I = np.array([{True, False} <= set(image.truth) for image in images if set(image.truth) != {None}])
    kept_I = np.argsort(-fit_I, kind="stable")[: int(np.ceil(KEEP * len(fit_I)))]
    return {
        "right text of some, first": first_I[both_I].mean(),
        "right text of some, best": best_I[both_I].mean(),
        "true, first texts": first_I.mean(),
        f"true, of those that fit by {LEAST:g}": best_I[fit_I >= LEAST].mean(),
        f"true, of the {KEEP:.0%} that fit best": best_I[kept_I].mean(),
        "images without a true text that have none then": (fit_I < LEAST)[~some_I].mean(),
        "images with a true text that have none then": (fit_I < LEAST)[some_I].mean(),
    }


def summary(found: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean over seeds, and half of a 95 % interval of it."""
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    times = student.ppf(0.975, max(len(found) - 1, 1))
    half = {name: times * v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0.0 for name, v in values.items()}
    return {name: [float(v.mean()), float(half[name])] for name, v in values.items()}


def show(figures: dict[str, Any]) -> None:
    names = list(next(iter(figures["noise"].values())))
    rows = [
        [name, *(f"{100 * one[name][0]:.1f} ± {100 * one[name][1]:.1f}" for one in figures["noise"].values())]
        for name in names
    ]
    report.table("judged on templates that nothing was tuned on, %", ["noise", *figures["noise"]], rows)


if __name__ == "__main__":
    main()
