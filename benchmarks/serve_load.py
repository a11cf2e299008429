"""Many clients at once: rates that a server keeps at one p99, and what overload does to those whom it lets in."""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch
from serve_parts import FEATURE_WIDTH, REGIONS, WORDS, World

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.search.encoder import placed
from interbert.search.index.index import Addition, Index
from interbert.search.requests import Busy, Options, Rerank
from interbert.search.searcher import Searcher

ROUNDS = 5
"""Halvings of the range in which the rate lies that is sought."""
OVERLOAD = 4

Request = tuple[np.ndarray, np.ndarray]
Submit = Callable[[Request], Future[Any]]


class Words:
    """A text is its ids, so that both ways score the same."""

    def encode(self, texts: list[str], longest: int) -> list[list[int]]:
        return [[int(word) for word in text.split()][:longest] for text in texts]


@dataclass
class Seen:
    """Of requests that came at a rate."""

    seconds: np.ndarray
    """Of each that was let in."""
    refused: int
    took: float

    @property
    def p99(self) -> float:
        return float(np.percentile(self.seconds, 99)) if len(self.seconds) else 0.0

    @property
    def done(self) -> float:
        """A second."""
        return len(self.seconds) / self.took


def offered(submit: Submit, requests: list[Request], rate: float, seconds: float) -> Seen:
    """They come as strangers do: at random, however many are waiting (a Poisson process)."""
    rng, futures, took, refused = np.random.default_rng(0), [], [], 0
    began = time.perf_counter()
    due, number = 0.0, 0
    while (due := due + rng.exponential(1 / rate)) < seconds:
        if (early := due - (time.perf_counter() - began)) > 0:
            time.sleep(early)
        asked, came = requests[number % len(requests)], began + due
        number += 1
        try:
            future = submit(asked)
        except Busy:
            refused += 1
            continue
        future.add_done_callback(lambda _, came=came: took.append(time.perf_counter() - came))
        futures.append(future)
    wait(futures)
    return Seen(np.array(took), refused, time.perf_counter() - began)


def rate_within(submit: Submit, requests: list[Request], p99: float, seconds: float, most: float) -> float:
    """The highest rate found at which 99 of 100 are answered in so many seconds."""
    low, high = 0.0, most
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        seen = offered(submit, requests, middle, seconds)
        low, high = (middle, high) if seen.p99 <= p99 else (low, middle)
    return low


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    config = InterBertConfig.from_preset(
        arguments.preset, vocab_size=30522, feature_width=FEATURE_WIDTH, prediction_heads=["match", "search"]
    )
    model, precision = placed(
        InterBertForPreTraining.from_seed(config, 0), torch.device("cpu"), arguments.precision
    )
    world = World(model, arguments.requests)
    one, rows, figures = ThreadPoolExecutor(1), [], {}
    with tempfile.TemporaryDirectory() as folder:
        made = _index(world, precision, Path(folder))
        for name, sizes in (("1 to 4", (1, 4)), ("32", (32, 32))):
            requests = world.requests(sizes)
            # Long requests make a server's p99 long by themselves: what is allowed is in their own measure.
            alone = [_timed(lambda asked=asked: world.padded([asked])) for asked in requests[:20]][3:]
            p99 = arguments.p99 * float(np.median(alone))

            def padded(asked: Request) -> Future[Any]:
                return one.submit(world.padded, [asked])

            with _searcher(
                made, world, precision, Options(queued_tokens=10**9, queued_seconds=1e9)
            ) as searcher:
                packed = _asking(searcher)
                most = arguments.most / float(np.median(alone))
                rates = {
                    "padded, a request at a time": rate_within(
                        padded, requests, p99, arguments.seconds, most
                    ),
                    "packed, requests together": rate_within(packed, requests, p99, arguments.seconds, most),
                }
            with _searcher(made, world, precision, Options()) as searcher:
                bounded = _asking(searcher)
                flood = offered(bounded, requests, OVERLOAD * most, arguments.seconds)
                at, over = (
                    offered(bounded, requests, times * flood.done, arguments.seconds)
                    for times in (1, OVERLOAD)
                )
            first = rates["padded, a request at a time"]
            for way, rate in rates.items():
                times = f"{rate / first:.2f}" if first else "-"
                rows.append([name, way, f"{1e3 * p99:.0f}", f"{rate:.1f}", times])
            figures[name] = {
                "p99_allowed": p99,
                "rates": rates,
                "capacity": flood.done,
                "p99_at_capacity": at.p99,
                "p99_overloaded": over.p99,
                "refused_share_overloaded": over.refused / max(1, over.refused + len(over.seconds)),
                "answered_a_second_overloaded": over.done,
            }
            print(
                f"{name}: {flood.done:.1f} requests/s are answered at most, with a p99 of {1e3 * at.p99:.0f} ms; at "
                f"{OVERLOAD} times as many {over.done:.1f} are, with {1e3 * over.p99:.0f} ms",
                flush=True,
            )
    one.shutdown()
    report.table(
        f"{arguments.preset}, {precision}, {REGIONS[0]}-{REGIONS[1]} regions, queries of {WORDS[0]}-{WORDS[1]} "
        f"tokens, {torch.get_num_threads()} threads: rates at which 99 of 100 are answered in time",
        ["candidates", "way", "p99 ms", "requests/s", "times"],
        rows,
    )
    return {"precision": precision, "preset": arguments.preset, "load": figures}


def _index(world: World, precision: str, folder: Path) -> Path:
    about = {
        "model": "none", "model_path": "none", "vectors": None, "width": 0, "hidden": world.rows[0].shape[1],
        "precision": precision, "max_regions": REGIONS[1], "max_text_tokens": WORDS[1],
        "feature_width": FEATURE_WIDTH, "features_of": None,
    }  # fmt: skip
    with Index.create(folder / "index", about) as index:
        index.put([Addition(f"{n}", rows.cpu(), None, (1, 1), (1, n)) for n, rows in enumerate(world.rows)])
    return folder / "index"


def _searcher(made: Path, world: World, precision: str, options: Options) -> Searcher:
    of = {"path": "none", "sha256": "none", "precision": precision, "device": "cpu", "longest": WORDS[1]}
    return Searcher(Index.open(made), world.encoder, Words(), options, of)


def _asking(searcher: Searcher) -> Submit:
    def submit(asked: Request) -> Future[Any]:
        ids, items = asked
        return searcher.submit(Rerank(" ".join(map(str, ids)), tuple(str(item) for item in items)))

    return submit


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
