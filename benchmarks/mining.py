"""Mining hard negatives at scale: seconds, memory, and the share of the exact neighbours' similarity that is found.

Captions of Zipf words (50,000 types, exponent 1.05, 6 to 16 words) or of scenes, in a store as any other; mined
by `python -m interbert mine` in a process of its own. The share is measured against an exact join of sampled
captions that the miner did not calibrate on.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.corpus.corpus import Corpus
from interbert.mining.negatives import read_candidates
from interbert.mining.vectors import tfidf
from interbert.sources.scenes.write import write_scenes
from interbert.store.store import StoreWriter

ROOT = Path(__file__).resolve().parent.parent
TYPES, EXPONENT, SHORTEST, LONGEST = 50_000, 1.05, 6, 16
IMAGES_AT_ONCE = 10_000


def main() -> None:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    figures = []
    for kind in arguments.corpora:
        for captions in arguments.captions:
            store = arguments.folder / f"{kind}_{captions}.h5"
            if not store.exists():
                {"zipf": write_zipf, "scenes": write_scene_captions}[kind](store, captions)
            figures.append(
                {"corpus": kind, "captions": captions, **mine(store, arguments.folder / "table.h5")}
            )
            print(figures[-1], flush=True)
    rows = [
        [f"{f['corpus']}, {f['captions']:,} captions", f"{f['seconds']:.0f} s", f"{f['gigabytes']:.1f} GB",
         f"{f['mass']:.1%}", f"{f['full']:.1%}"]
        for f in figures
    ]  # fmt: skip
    title = "python -m interbert mine --top 30 --max-similarity 0.5"
    report.table(title, ["", "time", "memory", "of the exact similarity", "with all 30"], rows)
    report.write_json(arguments.json, {"runs": figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--captions", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--corpora", nargs="+", default=["zipf", "scenes"], choices=["zipf", "scenes"])
    parser.add_argument("--folder", type=Path, default=Path("runs/mining"), help="stores are made here once")
    return parser.parse_args()


def write_zipf(path: Path, captions: int) -> None:
    """Five captions an image; a feature of one number, for it is not read."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, TYPES + 1) ** EXPONENT
    shares /= shares.sum()
    with StoreWriter(path, 1) as store:
        for first in range(0, captions // 5, IMAGES_AT_ONCE):
            images = min(IMAGES_AT_ONCE, captions // 5 - first)
            ids = [str(first + i) for i in range(images)]
            boxes = np.tile(np.array([[0, 0, 1, 1]], np.float32), (images, 1))
            store.add_images(ids, [(1, 1)] * images, [1] * images, boxes, np.zeros((images, 1), np.float16))
            lengths = rng.integers(SHORTEST, LONGEST + 1, 5 * images)
            words = rng.choice(TYPES, p=shares, size=lengths.sum()).tolist()
            ends = np.concatenate([[0], np.cumsum(lengths)]).tolist()
            for image in range(images):
                cuts = ends[5 * image : 5 * image + 6]
                texts = (" ".join(f"word{w}" for w in words[a:b]) for a, b in pairwise(cuts))
                store.add_captions(first + image, texts)


def write_scene_captions(path: Path, captions: int) -> None:
    write_scenes(path, captions // 5, seed=1, feature_width=1)


def mine(store: Path, table: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "interbert", "mine", "--data", str(store), "--output", str(table)]
    command.append("--overwrite")  # a table of the corpus before
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    most = _watch(process)
    code = process.wait()
    seconds = time.perf_counter() - start
    if code:
        sys.exit(f"mining failed with exit code {code}")
    return {"seconds": seconds, "gigabytes": most[0] / 1e9, **_quality(store, table)}


def _watch(process: subprocess.Popen) -> list[int]:
    """The most memory that it and its children hold at a time, what they share counted once (PSS)."""
    most = [0]

    def look() -> None:
        while process.poll() is None:
            held = 0
            try:
                me = psutil.Process(process.pid)
                for one in [me, *me.children(recursive=True)]:
                    held += one.memory_full_info().pss
            except psutil.Error:
                continue
            most[0] = max(most[0], held)
            time.sleep(0.5)

    threading.Thread(target=look, daemon=True).start()
    return most


def _quality(store: Path, table: Path, sample: int = 300) -> dict[str, float]:
    with Corpus([store]) as corpus:
        found = read_candidates(table, corpus)
        weights = tfidf(islice(corpus.texts(), corpus.captions), corpus.captions)
        image = np.asarray(corpus.caption_image[: corpus.captions])
    rows = np.random.default_rng(os.getpid()).choice(len(image), sample, replace=False)
    have = best = 0.0
    for part in np.array_split(rows, sample // 20):
        similarity = (weights @ weights[part].toarray().T).T
        for row, values in zip(part, similarity, strict=True):
            values[(image == image[row]) | (values >= found.max_similarity)] = 0
            top = found.rows.shape[1]
            best += float(np.partition(values, -top)[-top:].sum())
            mine = found.rows[row][found.rows[row] >= 0]
            assert (values[mine] > 0).all(), f"caption {row}: a candidate that must not be one"
            have += float(values[mine].sum())
    return {"mass": have / best, "full": float((found.rows >= 0).all(axis=1).mean())}


if __name__ == "__main__":
    main()
