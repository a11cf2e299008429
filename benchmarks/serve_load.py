"""Many clients at once: rates that a server keeps at one p99, and what overload does to those whom it lets in."""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch
from serve_parts import FEATURE_WIDTH, REGIONS, WORDS, World

from interbert.kernels.cpu import teams
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.search.encoder import placed
from interbert.search.index.index import Addition, Index
from interbert.search.requests import Busy, Options, Rerank
from interbert.search.searcher import Searcher

NEAR = 0.03
"""Rates so near to each other, as a share, are not told apart."""
WINDOWS = 3
"""In which each rate is tried; most of them decide, so that one hiccup of the machine does not."""
OVERLOAD = 4
FLOOD = 16
"""Times what is done one after another, padded: more than any server answers."""
PADDED, PACKED = "padded, a request at a time", "packed, requests together"
SIZES = {"1 to 4": (1, 4), "32": (32, 32)}
"""Candidates of a request."""

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
    """Of each that was answered."""
    refused: int
    took: float
    in_time: bool = True
    """99 of 100 were."""

    @property
    def p99(self) -> float:
        return float(np.percentile(self.seconds, 99)) if len(self.seconds) else 0.0

    @property
    def done(self) -> float:
        """A second."""
        return len(self.seconds) / self.took

    @property
    def refused_share(self) -> float:
        return self.refused / max(1, self.refused + len(self.seconds))


def offered(
    submit: Submit,
    requests: list[Request],
    rate: float,
    seconds: float,
    p99: float = float("inf"),
    seed: int = 0,
) -> Seen:
    """They come as strangers do: at random, however many are waiting (a Poisson process). It ends as soon as more
    than one of a hundred have taken longer than p99, and what waits then is dropped."""
    due_N = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, int(2 * rate * seconds) + 10))
    due_N = due_N[due_N < seconds]
    futures, took, late, refused, too_many = [], [], [], 0, threading.Event()
    began = time.perf_counter()

    def note(future: Future[Any], due: float) -> None:
        if future.cancelled():
            return
        took.append(time.perf_counter() - began - due)
        if took[-1] > p99:
            late.append(due)
            if len(late) > len(due_N) // 100:
                too_many.set()

    for number, due in enumerate(due_N.tolist()):
        if too_many.wait(max(0.0, began + due - time.perf_counter())):
            break
        try:
            future = submit(requests[number % len(requests)])
        except Busy:
            refused += 1
            continue
        future.add_done_callback(lambda future, due=due: note(future, due))
        futures.append(future)
    while not too_many.is_set() and wait(futures, 0.1).not_done:
        pass
    left = [future for future in futures if not future.cancel()]
    wait(left)
    for future in left:
        future.result()  # what goes wrong is no answer
    return Seen(np.array(took), refused, time.perf_counter() - began, not too_many.is_set())


def rate_within(submit: Submit, requests: list[Request], p99: float, seconds: float, most: float) -> float:
    """The highest rate found at which 99 of 100 are answered in time, in most windows of so many seconds. Windows
    differ in when requests come, and are the same ones for whoever is asked."""
    low, high = 0.0, most
    while high - low > NEAR * high:
        middle = (low + high) / 2
        kept = _kept(lambda seed, rate=middle: offered(submit, requests, rate, seconds, p99, seed).in_time)
        low, high = (middle, high) if kept else (low, middle)
    return low


def _kept(in_time: Callable[[int], bool]) -> bool:
    """By most windows; the rest are left out as soon as that is known."""
    votes = [0, 0]
    for seed in range(WINDOWS):
        votes[in_time(seed)] += 1
        if max(votes) > WINDOWS // 2:
            break
    return votes[True] > votes[False]


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    config = InterBertConfig.from_preset(
        arguments.preset, vocab_size=30522, feature_width=FEATURE_WIDTH, prediction_heads=["match", "search"]
    )
    model, precision = placed(
        InterBertForPreTraining.from_seed(config, 0), torch.device("cpu"), arguments.precision
    )
    world = World(model, arguments.requests)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(_index(world, precision, Path(folder)), world, precision)
        figures = {name: _of_size(server, SIZES[name], arguments) for name in arguments.sizes}
    report.table(
        f"{arguments.preset}, {precision}, {REGIONS[0]}-{REGIONS[1]} regions, queries of {WORDS[0]}-{WORDS[1]} "
        f"tokens, {torch.get_num_threads()} threads: rates at which 99 of 100 are answered in time",
        ["candidates", "way", "p99 ms", "requests/s", "times"],
        [
            [name, way, f"{1e3 * found['p99_allowed']:.0f}", f"{rate:.1f}", f"{found['times'][way]:.2f}"]
            for name, found in figures.items()
            for way, rate in found["rates"].items()
        ],
    )
    report.table(
        f"as many as are answered at most, and {OVERLOAD} times as many: of those that are let in",
        ["candidates", "requests/s", "p99 ms", "p99 ms overloaded", "times", "answered/s", "refused"],
        [
            [
                name,
                f"{found['capacity']:.1f}",
                f"{1e3 * found['p99_at_capacity']:.0f}",
                f"{1e3 * found['p99_overloaded']:.0f}",
                f"{found['p99_overloaded'] / found['p99_at_capacity']:.2f}",
                f"{found['answered_a_second_overloaded']:.1f}",
                f"{found['refused_share_overloaded']:.0%}",
            ]
            for name, found in figures.items()
        ],
    )
    return {"precision": precision, "preset": arguments.preset, "load": figures}


@dataclass
class Server:
    """The engine without HTTP, over an index of the world's items."""

    made: Path
    world: World
    precision: str

    @contextmanager
    def taking(self, options: Options) -> Iterator[Submit]:
        of = {
            "path": "none",
            "sha256": "none",
            "precision": self.precision,
            "device": "cpu",
            "longest": WORDS[1],
        }
        with Searcher(Index.open(self.made), self.world.encoder, Words(), options, of) as searcher:

            def submit(asked: Request) -> Future[Any]:
                ids, items = asked
                return searcher.submit(Rerank(" ".join(map(str, ids)), tuple(str(item) for item in items)))

            wait([submit((np.array([1000, 1001]), np.arange(count))) for count in (1, 2, 32, 4)])
            yield submit


def _of_size(server: Server, sizes: tuple[int, int], arguments: argparse.Namespace) -> dict[str, Any]:
    requests = server.world.requests(sizes)
    # Long requests make a server's p99 long by themselves: what is allowed is in their own measure.
    alone = _alone(server.world, requests)
    p99 = arguments.p99 * alone
    rates = _rates(server, requests, p99, alone, arguments)
    first = rates[PADDED]
    times = {way: rate / first if first else float("nan") for way, rate in rates.items()}
    found = {"p99_allowed": p99, "rates": rates, "times": times}
    return found | _overload(server, requests, FLOOD / alone, arguments.seconds)


def _alone(world: World, requests: list[Request]) -> float:
    """Median seconds of one by itself, padded."""
    took = []
    for asked in requests[:20]:
        began = time.perf_counter()
        world.padded([asked])
        took.append(time.perf_counter() - began)
    teams.give_back()  # else this thread's would slow down the one that serves
    return float(np.median(took[3:]))


def _rates(
    server: Server, requests: list[Request], p99: float, alone: float, arguments: argparse.Namespace
) -> dict[str, float]:
    with ThreadPoolExecutor(1) as one:

        def padded(asked: Request) -> Future[Any]:
            return one.submit(server.world.padded, [asked])

        # It does no more than one after another.
        rate = rate_within(padded, requests, p99, arguments.seconds, 1 / alone)
    with server.taking(Options(queued_tokens=10**9, queued_seconds=1e9)) as packed:
        return {
            PADDED: rate,
            PACKED: rate_within(packed, requests, p99, arguments.seconds, arguments.most / alone),
        }


def _overload(server: Server, requests: list[Request], flood: float, seconds: float) -> dict[str, float]:
    """flood: more requests a second than can be answered."""
    with server.taking(Options()) as bounded:
        capacity = offered(bounded, requests, flood, seconds).done
        at = offered(bounded, requests, capacity, 2 * seconds)  # so long until the line is as it stays
        over = offered(bounded, requests, OVERLOAD * capacity, seconds)
    return {
        "capacity": capacity,
        "p99_at_capacity": at.p99,
        "p99_overloaded": over.p99,
        "refused_share_overloaded": over.refused_share,
        "answered_a_second_overloaded": over.done,
    }


def _index(world: World, precision: str, folder: Path) -> Path:
    about = {
        "model": "none", "model_path": "none", "vectors": None, "width": 0, "hidden": world.rows[0].shape[1],
        "precision": precision, "max_regions": REGIONS[1], "max_text_tokens": WORDS[1],
        "feature_width": FEATURE_WIDTH, "features_of": None,
    }  # fmt: skip
    with Index.create(folder / "index", about) as index:
        index.put([Addition(f"{n}", rows.cpu(), None, (1, 1), (1, n)) for n, rows in enumerate(world.rows)])
    return folder / "index"
