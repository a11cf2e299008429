"""Memory of the host path: over a whole epoch of two weighted data sets, and of a plan of ten million pairs."""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.loader_world import load_settings, open_world, random_candidates
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable, tokenise


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--images", type=int, default=3000, help="of each of the two stores (170 KB each)")
    parser.add_argument("--pairs", type=int, default=10_000_000, help="of the plan")
    parser.add_argument("--folder", type=Path, help="where the stores are made for the while")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        epoch = over_an_epoch(Path(folder), arguments.images)
    plan = of_a_plan(arguments.pairs)
    report.table(
        "Memory over an epoch, 2048 wide, two data sets of weights 1 and 0.5",
        ["", ""],
        [
            ["pairs", epoch["pairs"]],
            ["buffers, MB", epoch["buffers"] / 1e6],
            ["grown beyond them, MB", epoch["grown"] / 1e6],
        ],
    )
    report.table(
        f"Plan of an epoch of {arguments.pairs:,} pairs",
        ["", ""],
        [["seconds", plan["seconds"]], ["GB at most", plan["gigabytes"]]],
    )
    report.write_json(arguments.json, {"epoch": epoch, "plan": plan})


def over_an_epoch(folder: Path, images: int) -> dict[str, float]:
    """Most memory of its own (USS) that the process has beyond what it had before, less the loader's buffers."""
    for name in ("a", "b"):
        open_world(folder / name, images)[0].close()
    paths = [corpus_path for name in ("a", "b") for corpus_path in sorted((folder / name).glob("*.h5"))]
    tokenizer = open_world(folder / "a", images)[1]
    with Corpus(paths) as corpus:
        settings = load_settings({"weights": [1.0, 0.5], "threads": 2})
        tokens = tokenise(corpus, tokenizer, 36)
        plan = Plan(corpus, tokens, settings, random_candidates(corpus))
        micro_batches = plan.epoch(0).micro_batches
        before = psutil.Process().memory_full_info().uss
        with Loader(
            Preparer(corpus, tokens, plan, settings, Vocabulary.of(tokenizer)), plan, settings
        ) as loader:
            slots = list(loader._free)
            buffers = sum(
                t.nbytes
                for slot in slots
                for field in fields(slot)
                if isinstance(t := getattr(slot, field.name), Tensor)
            )
            pairs = 0

            def run() -> None:
                nonlocal pairs
                for _ in range(micro_batches // settings.micro_batches):
                    pairs += sum(batch.pairs for batch in next(loader).batches)

            most = most_while(run)
    return {"pairs": pairs, "buffers": buffers, "grown": most - before - buffers}


def of_a_plan(pairs: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    images = pairs // 3
    corpus = SimpleNamespace(
        images=images,
        captions=pairs,
        swapped=0,
        swapped_of=np.zeros(0, np.int64),
        caption_image=rng.integers(0, images, pairs),
        caption_ranges=[range(pairs)],
        image_group=np.arange(images, dtype=np.int32),
        region_counts=rng.integers(10, 37, images).astype(np.int32),
    )
    lengths = rng.integers(8, 25, pairs)
    # Words of every caption, mapped from a file as those of a run are.
    with tempfile.TemporaryFile() as file:
        ids_flat = np.memmap(file, np.int32, shape=int(lengths.sum()))
    for start in range(0, len(ids_flat), 1 << 24):
        part = ids_flat[start : start + (1 << 24)]
        part[:] = rng.integers(5, 30_000, len(part), dtype=np.int32)
    tokens = TokenTable(ids_flat, np.concatenate([[0], np.cumsum(lengths)]))
    settings = load_settings({}, mismatch={"hard_share": 0.0})
    seconds = 0.0

    def run() -> None:
        nonlocal seconds
        plan = Plan(corpus, tokens, settings)
        began = time.perf_counter()
        plan.make(0)
        seconds = time.perf_counter() - began
        plan.epoch(0), plan.epoch(2)  # as many as a run ever keeps
        plan.close()

    return {"gigabytes": most_while(run) / 1e9, "seconds": seconds}


def most_while(run: Callable[[], None]) -> int:
    """The most memory of its own that this process has while it runs this."""
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, psutil.Process().memory_full_info().uss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    return most


if __name__ == "__main__":
    main()
