"""The host path alone: plan, read, mask, pack, at 2048-wide features, 10-36 regions, captions of 8-24 tokens.

Tokenising is done once for a data set and timed apart. The store is read from the page cache (it is read once
before), so this is what the code costs, not the disk. Each rate is the best of several repeats, since other
work on the machine can only slow it down.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.loader_world import load_settings, open_world, random_candidates
from interbert.batches import prepare
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable, tokenise

STEPS = ("read", "class evidence", "gather tokens", "mask words", "mask regions", "boxes", "pack")


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        corpus, tokenizer = open_world(arguments.folder or Path(temporary), arguments.images)
        with corpus:
            measure(corpus, tokenizer, arguments)


def measure(corpus: Corpus, tokenizer: Any, arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    tokens = tokenise(corpus, tokenizer, 36)
    tokenising = corpus.captions / (time.perf_counter() - began)
    vocabulary = Vocabulary.of(tokenizer)
    copy, read = bandwidth(corpus)

    rates, shares, planning = {}, {}, 0.0
    for threads in arguments.threads:
        settings = load_settings({"token_budget": arguments.token_budget, "threads": threads})
        plan, planning = make_plan(corpus, tokens, settings)
        rates[threads] = max(
            rate(corpus, tokens, plan, settings, vocabulary, arguments.pairs)
            for _ in range(arguments.repeats)
        )
        plan.close()
    settings = load_settings({"token_budget": arguments.token_budget, "threads": 1})
    plan, _ = make_plan(corpus, tokens, settings)
    shares = time_of_steps(corpus, tokens, plan, settings, vocabulary, arguments.pairs)
    shares["plan"] = planning
    plan.close()

    total = sum(shares.values())
    report.table(
        f"Host path: {corpus.captions:,} pairs, {plan.capacities.describe()} a micro-batch",
        ["", "pairs/s"],
        [[f"{threads} loader thread{'s' * (threads > 1)}", value] for threads, value in rates.items()]
        + [["tokenising, once (apart)", tokenising]],
    )
    report.table(
        "Time of each step, one thread",
        ["step", "µs/pair", "share %"],
        [[name, 1e6 * seconds, 100 * seconds / total] for name, seconds in shares.items()],
    )
    report.table("Bytes, one thread", ["", "GB/s"], [["memory copy", copy], ["read of features", read]])
    report.write_json(
        arguments.json,
        {
            "pairs_per_second": {str(threads): value for threads, value in rates.items()},
            "tokenised_captions_per_second": tokenising,
            "seconds_a_pair": shares,
            "gigabytes_per_second": {"copy": copy, "read": read},
            "token_budget": arguments.token_budget,
        },
    )


def make_plan(corpus: Corpus, tokens: TokenTable, settings: Settings) -> tuple[Plan, float]:
    """The plan, and the seconds a pair that planning an epoch takes."""
    plan = Plan(corpus, tokens, settings, random_candidates(corpus))
    began = time.perf_counter()
    plan.make(0)
    return plan, (time.perf_counter() - began) / corpus.captions


def rate(
    corpus: Corpus, tokens: TokenTable, plan: Plan, settings: Settings, vocabulary: Vocabulary, pairs: int
) -> float:
    """Pairs a second through the loader, over at least `pairs` of them, once it is under way."""
    with Loader(Preparer(corpus, tokens, plan, settings, vocabulary), plan, settings) as loader:
        for _ in range(2):
            next(loader)
        seen, began = 0, time.perf_counter()
        while seen < pairs:
            seen += sum(batch.pairs for batch in next(loader).batches)
        return seen / (time.perf_counter() - began)


def time_of_steps(
    corpus: Corpus, tokens: TokenTable, plan: Plan, settings: Settings, vocabulary: Vocabulary, pairs: int
) -> dict[str, float]:
    """Seconds a pair that each part of the preparation takes, called directly, without threads."""
    spent: Counter[str] = Counter()

    def timed(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - began

        return call

    @contextmanager
    def instruments() -> Any:
        with (
            mock.patch.object(corpus, "read", timed("read", corpus.read)),
            mock.patch.object(corpus, "read_evidence", timed("class evidence", corpus.read_evidence)),
            mock.patch.object(TokenTable, "gather", timed("gather tokens", TokenTable.gather)),
            mock.patch.object(prepare, "mask_text", timed("mask words", prepare.mask_text)),
            mock.patch.object(prepare, "mask_regions", timed("mask regions", prepare.mask_regions)),
            mock.patch.object(prepare, "box_shares", timed("boxes", prepare.box_shares)),
        ):
            yield

    epoch, preparer, seen = plan.epoch(0), Preparer(corpus, tokens, plan, settings, vocabulary), 0
    slots = [preparer.make_slot() for _ in range(settings.micro_batches)]
    with instruments():
        began = time.perf_counter()
        for index in range(epoch.micro_batches):
            seen += preparer.prepare(slots[index % len(slots)], epoch.micro_batch(index), 0, index).pairs
            if seen >= pairs:
                break
        spent["pack"] = time.perf_counter() - began - sum(spent.values())
    return {name: spent[name] / seen for name in STEPS}


def bandwidth(corpus: Corpus) -> tuple[float, float]:
    """GB/s of copying memory, and of reading the features of random images; the best of three rounds."""
    images = np.random.default_rng(0).permutation(corpus.images)
    blocks = np.array_split(images, max(1, len(images) // 100))
    rows = [int(corpus.region_counts[block].sum()) for block in blocks]
    buffers = [np.zeros((max(rows), corpus.feature_width), np.float16) for _ in range(4)]
    best = {"read": np.inf, "copy": np.inf}
    for _ in range(3):
        began = time.perf_counter()
        for number, block in enumerate(blocks):
            corpus.read(block, corpus.region_counts[block], buffers[number % 4])
        best["read"] = min(best["read"], time.perf_counter() - began)
        began = time.perf_counter()
        for number, count in enumerate(rows):
            np.copyto(buffers[number % 4][:count], buffers[(number + 1) % 4][:count])
        best["copy"] = min(best["copy"], time.perf_counter() - began)
    size = sum(rows) * corpus.feature_width * 2 / 1e9
    return size / best["copy"], size / best["read"]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="where the random store is kept, or found; else a temporary one"
    )
    parser.add_argument("--images", type=int, default=8000, help="images of the store (170 KB each)")
    parser.add_argument("--pairs", type=int, default=40_000, help="pairs to load in each repeat")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--token-budget", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
