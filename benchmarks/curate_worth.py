"""What training on pairs from the web is worth, by how they were chosen.

Of a crawl of made pages, in which the half of all texts do not tell what a picture shows, four stores are written:
each image with the first text that its page gives (unfiltered), images that a text fits with the one that fits best
(filtered), images with a true text (oracle), and scenes with clean captions (clean): a quarter as many, for clean
pairs are what there is little of. A model is trained from nothing on each for as many steps, and once for the half of
them on the filtered pairs and then on the clean ones. Each searches among clean scenes that none has seen. Another
seed is another crawl, scorer, and training. What is there is not done again: the whole can be stopped and taken up at
any time.
"""

import argparse
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.curate_crawls import Seen, seen, width_of
from benchmarks.curate_fit import LEAST, scorer_of
from benchmarks.scripts import run_script
from interbert.corpus.corpus import Corpus
from interbert.files import read_json
from interbert.sources.scenes.write import write_scenes
from interbert.store.writer import StoreWriter

NOISE = 0.5
COLLECTIONS = ("unfiltered", "filtered", "oracle", "clean")
CLEAN, TWO_STAGES = "clean", "filtered, then clean"
DEPTHS = ("r1", "r5", "r10")


def main() -> None:
    given = parse_arguments()
    test = given.folder / "test.h5"
    report.refuse_other_runs(given.folder, {"model": str(given.model.resolve())})
    if not test.exists():
        write_scenes(test, 200, 1, "test", width_of(given.model))
    pairs = {seed: collections(folder_of(given, seed), seed, given) for seed in range(given.seeds)}
    # The gap of all seeds first: who stops early has that.
    ways = (COLLECTIONS[:3], (CLEAN, TWO_STAGES))
    jobs = [(seed, way) for some in ways for seed in pairs for way in some]
    with ThreadPoolExecutor(given.parallel) as pool:
        found = dict(zip(jobs, pool.map(lambda job: trained(given, test, *job), jobs), strict=True))
    show(found, pairs)
    told = {f"{way}, seed {seed}": figures for (seed, way), figures in found.items()}
    report.write_json(
        given.json, {"pages": given.pages, "steps": given.steps, "clean": given.clean, "figures": told}
    )


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=Path("runs/scenes/export"), help="that scores (runs/scenes/export)")
    add("--pages", type=int, default=800, help="of a crawl (800)")
    add("--steps", type=int, default=900, help="of each training (900)")
    add("--clean", type=float, default=0.25, help="clean scenes for each image of the crawl (0.25)")
    add("--seeds", type=int, default=3)
    add("--parallel", type=int, default=len(os.sched_getaffinity(0)), help="trainings at once")
    add("--folder", type=Path, default=Path("runs/curate_worth"), help="crawls, runs and their results")
    return parser.parse_args()


def folder_of(given: argparse.Namespace, seed: int) -> Path:
    return given.folder / f"pages_{given.pages}_seed{seed}"


def collections(folder: Path, seed: int, given: argparse.Namespace) -> dict[str, int]:
    """Writes the stores; how many pairs each has."""
    images = seen(folder, given.pages, 100 + seed, NOISE, given.model)
    chosen = pairs_of(images, seed)
    for name, pairs in chosen.items():
        if not (folder / f"{name}.h5").exists():
            write_store(folder / f"{name}.h5", folder / "scenes.h5", pairs)
    clean, count = store_of(folder, CLEAN, given), round(given.clean * len(images))
    if not clean.exists():
        write_scenes(clean, count, 1000 + seed, "train", width_of(given.model), captions=1)
    return {name: len(pairs) for name, pairs in chosen.items()} | {CLEAN: count}


def store_of(folder: Path, name: str, given: argparse.Namespace) -> Path:
    return folder / (f"{CLEAN}_{given.clean:g}.h5" if name == CLEAN else f"{name}.h5")


def pairs_of(images: list[Seen], seed: int) -> dict[str, list[tuple[str, str]]]:
    """(scene, text) of each collection."""
    scorer = scorer_of(images, seed)
    first, true, ranked = [], [], []
    for image in images:
        texts, fits = [text for _, text in image.texts], scorer.probabilities(image.columns)
        first.append((image.scene, texts[0]))
        true += [(image.scene, text) for text, fit in zip(texts, image.truth, strict=True) if fit][:1]
        ranked.append((float(fits.max()), image.scene, texts[int(fits.argmax())]))
    ranked.sort(reverse=True)
    return {
        "unfiltered": first,
        "filtered": [(scene, text) for fit, scene, text in ranked if fit >= LEAST],
        "oracle": true,
    }


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


def trained(given: argparse.Namespace, test: Path, seed: int, way: str) -> dict[str, float]:
    """R@1, 5 and 10 of text to image after a training on one of the collections."""
    folder = folder_of(given, seed)
    run = folder / f"steps_{given.steps}" / way.replace(", ", "_").replace(" ", "_")
    if CLEAN in way:
        run = run.with_name(f"{run.name}_{given.clean:g}")
    result = run / "retrieval.json"
    if not result.exists():
        settings = ["--recipe", "scenes", "--deepspeed_config", "cpu", "--output-dir", run]
        for setting in settings_of(given, test, folder, seed, way):
            settings += ["--set", setting]
        run_script(["launch/pretrain.py", *settings], run)
        of_run = ["--model", run / "export", "--data", test, "--output", result]
        run_script(["launch/evaluate.py", "--task", "retrieval", *of_run], run)
    found = read_json(result)["text_to_image"]
    print(f"seed {seed}, {way}: R@1 {100 * found['r1']:.1f} %", flush=True)
    return {depth: found[depth] for depth in DEPTHS}


def settings_of(given: argparse.Namespace, test: Path, folder: Path, seed: int, way: str) -> list[str]:
    """Over the recipe `scenes`: words of the model that scored, for pages have words that clean captions have not."""
    own = [f"data.tokenizer={given.model}", f"data.validation=[{test}]", f"train.seed={seed}"]
    own += ["train.export_initial=false", f"train.checkpoint_every={given.steps}"]
    if way in COLLECTIONS:
        return [*own, f"data.train=[{store_of(folder, way, given)}]", f"train.schedule_steps={given.steps}"]
    half = given.steps // 2
    stages = ", ".join(
        f"{{name: {name}, data: {{train: [{store_of(folder, name, given)}]}}, train: {{schedule_steps: {half}}}}}"
        for name in ("filtered", CLEAN)
    )
    return [*own, f"data.train=[{folder / 'filtered.h5'}]", f"stages=[{stages}]"]


def show(found: dict[tuple[int, str], dict[str, Any]], pairs: dict[int, dict[str, int]]) -> None:
    rows = []
    for way in (*COLLECTIONS, TWO_STAGES):
        counts = [str(of_seed[way]) for of_seed in pairs.values() if way in of_seed]
        values = [[100 * found[seed, way][depth] for seed in pairs] for depth in DEPTHS]
        rows.append([way, ", ".join(counts), *map(spread, values)])
    report.table(
        "text to image among 200 clean scenes, %", ["trained on", "pairs", "R@1", "R@5", "R@10"], rows
    )
    for depth in DEPTHS:
        low, middle, high = (
            statistics.mean(found[seed, way][depth] for seed in pairs) for way in COLLECTIONS[:3]
        )
        share = f"{(middle - low) / (high - low):.2f}" if high > low else "no gap"
        print(f"recovered of the gap in R@{depth[1:]}, means over seeds: {share}")


def spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"


if __name__ == "__main__":
    main()
