"""Hard negatives of Chinese captions by characters and by words: what a cheaper search keeps of the exact neighbours.

By either, sampled captions are joined exactly with all others, and then sought without the most frequent characters
(words). The share is that of the exact neighbours' summed similarity, as the miner measures it; and how many of the
exact neighbours by one are among those by the other.
"""

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.config import Words
from interbert.corpus.corpus import Corpus
from interbert.mining import dense
from interbert.mining.calibrate import SAMPLE
from interbert.mining.kin import captions_kin
from interbert.mining.pruned import PrunedSearch
from interbert.mining.vectors import by_frequency, tfidf
from interbert.rng import Purpose, generator
from interbert.sources.scenes.write import write_scenes

TOP, BELOW = 30, 0.5


def main() -> None:
    arguments = parse_arguments()
    if arguments.data:
        stores = arguments.data
    else:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        stores = [arguments.folder / f"zh_{arguments.captions}.h5"]
        if not stores[0].exists():
            write_scenes(stores[0], arguments.captions // 5, seed=1, feature_width=1, language="zh")
    with Corpus(stores) as corpus:
        found = {words: measure(corpus, words, arguments.dropped) for words in get_args(Words)}
    nearest = [own.pop("nearest") for own in found.values()]
    common = sum(len(set(one) & set(other)) for one, other in zip(*nearest, strict=True))
    for own, rows in zip(found.values(), nearest, strict=True):
        own["also_by_the_other"] = common / sum(map(len, rows))
    without = [f"without {dropped}" for dropped in arguments.dropped]
    rows = [
        [words, f"{own['distinct']:,}", f"{own['of_a_caption']:.1f}", f"{own['seconds']:.1f} s",
         f"{own['also_by_the_other']:.1%}",
         *(f"{own['kept'][dropped]:.1%} in {own['took'][dropped]:.1f} s" for dropped in arguments.dropped)]
        for words, own in found.items()
    ]  # fmt: skip
    title = f"the {TOP} nearest below {BELOW} of {SAMPLE} captions among {corpus.captions:,}"
    report.table(title, ["", "distinct", "a caption", "vectors in", "by both", *without], rows)
    report.write_json(arguments.json, {"captions": corpus.captions, "by": found})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--data", nargs="+", default=[], type=Path, help="stores; default: scenes in Chinese")
    parser.add_argument("--captions", type=int, default=100_000, help="of these scenes")
    parser.add_argument(
        "--dropped", type=int, nargs="+", default=[0, 6, 12, 25], help="most frequent left out"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/mining"), help="scenes are made here once")
    return parser.parse_args()


def measure(corpus: Corpus, words: Words, ladder: list[int]) -> dict[str, Any]:
    start = time.perf_counter()
    weights_CW = tfidf(islice(corpus.texts(), corpus.captions), corpus.captions, words)
    seconds = time.perf_counter() - start
    kin, order = captions_kin(corpus), by_frequency(weights_CW)
    sample_S = np.sort(generator(0, Purpose.MINING).permutation(corpus.captions)[:SAMPLE])
    rows_ST = dense.nearest(weights_CW[sample_S], weights_CW, kin.of_rows(sample_S), TOP, BELOW)
    nearest = [row[row >= 0] for row in rows_ST]
    products = (weights_CW[rows] @ weights_CW[row].T for row, rows in zip(sample_S, nearest, strict=True))
    exact = float(sum(product.sum() for product in products))
    kept, took = {}, {}
    for dropped in ladder:
        search = PrunedSearch.of(weights_CW, order[:dropped])
        start = time.perf_counter()
        kept[dropped] = float(search.nearest(sample_S, kin, TOP, BELOW)[1].sum()) / exact
        took[dropped] = time.perf_counter() - start
    return {
        "distinct": weights_CW.shape[1],
        "of_a_caption": weights_CW.nnz / corpus.captions,
        "seconds": seconds,
        "kept": kept,
        "took": took,
        "nearest": [rows.tolist() for rows in nearest],
    }


if __name__ == "__main__":
    main()
