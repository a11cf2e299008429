"""The parts that benchmarks/serve.py measures."""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import report
import torch

from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.deploy.padded_model import PaddedModel
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.linear import lay_out
from interbert.model.shape.configuration import InterBertConfig
from interbert.search.encoder import Encoder, budget_of, image_vectors_of, placed, text_vectors_of
from interbert.search.engine.jobs import Pairs, Rows
from interbert.search.engine.ranker import Ranker, split
from interbert.search.index import snapshots
from interbert.search.index.build import about_of, encoder_for
from interbert.search.index.index import Index
from interbert.search.index.nearest import Exact, Graph, recall_of
from interbert.search.index.truth import NewItem
from interbert.tasks.distillation.stages import HeldOut, figures_of
from interbert.tokenizer import load_tokenizer

NEAREST = 32
REGIONS, WORDS, FEATURE_WIDTH = (10, 36), (8, 24), 2048


# The two stages on held-out data


def stages(arguments: argparse.Namespace) -> dict[str, Any]:
    encoder, precision = encoder_for(arguments.model, arguments.precision)
    with Corpus([arguments.data]) as corpus:
        held_out = HeldOut.of(corpus, _tokens(corpus, encoder, arguments.model), arguments.captions)
        budget = budget_of(encoder.device)
        first_CI, first_seconds = _timed(lambda: held_out.first_stage(encoder, budget))
        whole_CI, whole_seconds = _timed(lambda: held_out.exhaustive(encoder.model, budget, encoder.device))
        found = figures_of(first_CI, whole_CI, held_out.own_C, arguments.candidates)
        seconds = {count: _one_query(encoder, held_out, first_CI, count) for count in arguments.candidates}
    rows = [
        [
            count,
            f"{found[f'kept.{count}']:.2%}",
            f"{found[f'recall.{count}']:.2%}",
            f"{found[f'reranked.{count}']:.2%}",
            f"{1e3 * seconds[count]:.1f}",
        ]
        for count in arguments.candidates
    ]
    report.table(
        f"{len(held_out.captions_C)} captions ask for one of {len(held_out.images_I)} ({encoder.vectors_from}, "
        f"{encoder.width} numbers, {precision})\nfirst stage alone R@1 {found['first.r1']:.2%}, exhaustive "
        f"{found['exhaustive.r1']:.2%} in {1e3 * whole_seconds / len(held_out.captions_C):.0f} ms a query",
        ["candidates", "of exhaustive firsts", "own image among", "R@1 ranked again", "ms a query"],
        rows,
    )
    return {
        "figures": found,
        "seconds_a_query": {str(count): value for count, value in seconds.items()},
        "seconds_first_stage_all": first_seconds,
        "seconds_exhaustive_a_query": whole_seconds / len(held_out.captions_C),
        "images": len(held_out.images_I),
        "captions": len(held_out.captions_C),
        "way": encoder.vectors_from,
        "width": encoder.width,
        "precision": precision,
    }


def _one_query(
    encoder: Encoder, held_out: HeldOut, first_CI: np.ndarray, count: int, queries: int = 30
) -> float:
    """Median seconds of a query by itself: its text encoded, all vectors compared, candidates ranked again."""
    from interbert.search.encoder import images_of

    ranker, images, took = Ranker(encoder), [], []
    exact = Exact(encoder.width)
    for _, encoded in images_of(encoder, held_out.corpus, held_out.images_I, budget_of(encoder.device)):
        images += [side.x_SH for side in split(encoded.side)]
        exact.add(np.arange(len(exact), len(exact) + len(encoded.vectors)), encoded.vectors)
    for caption in held_out.captions_C[: queries + 3]:
        began = time.perf_counter()
        encoded = encoder.texts([held_out.tokens.caption(int(caption))])
        numbers = exact.search(encoded.vectors, count)[0][0]
        rows = [images[number] for number in numbers.tolist()]
        lengths = np.array([len(one) for one in rows])
        ranker.log_odds(
            [encoded.side], torch.cat(rows), lengths, np.zeros(len(rows), int), np.arange(len(rows))
        )
        took.append(time.perf_counter() - began)
    return float(np.median(took[3:]))


# A million vectors


def nearest(arguments: argparse.Namespace) -> dict[str, Any]:
    encoder, precision = encoder_for(arguments.model, arguments.precision)
    budget = budget_of(encoder.device)
    with Corpus([arguments.data]) as corpus:
        tokens = _tokens(corpus, encoder, arguments.model)
        vectors_IW = image_vectors_of(encoder, corpus, np.arange(corpus.images), budget)
        held_out = HeldOut.of(corpus, tokens, arguments.captions)
        ids = [tokens.caption(int(one)) for one in held_out.captions_C]
        queries_QW = text_vectors_of(encoder, ids, budget)
    vectors_NW, told = _more(vectors_IW, arguments.items)
    print(told, flush=True)
    exact = Exact(encoder.width)
    exact.add(np.arange(1, len(vectors_NW) + 1), vectors_NW)
    (true_QK, _), exact_seconds = _timed(lambda: exact.search(queries_QW, NEAREST))
    _, exact_one = _timed(lambda: exact.search(queries_QW[:1], NEAREST))
    graph = Graph(encoder.width, arguments.dtype)
    _, build_seconds = _timed(lambda: graph.add(np.arange(1, len(vectors_NW) + 1), vectors_NW))
    rows, figures = [], {}
    for look in [*arguments.look, graph.looks]:
        graph.look(look)
        found, took = [], []
        for query_W in queries_QW:
            began = time.perf_counter()
            found.append(graph.search(query_W[None], NEAREST)[0][0])
            took.append(1e3 * (time.perf_counter() - began))
        recall = recall_of(np.array(found), true_QK)
        middle, late = np.percentile(took, [50, 99])
        rows.append([look, f"{recall:.4f}", f"{middle:.2f}", f"{late:.2f}"])
        figures[str(look)] = {f"recall@{NEAREST}": recall, "ms_p50": middle, "ms_p99": late}
    report.table(
        f"{len(vectors_NW):,} vectors of {encoder.width} numbers in {arguments.dtype}: graph made in "
        f"{build_seconds:.0f} s; all looked at in {1e3 * exact_one:.0f} ms",
        ["looks", f"recall@{NEAREST}", "ms p50", "ms p99"],
        rows,
    )
    opened = _opened(arguments, encoder, precision, vectors_NW, graph, recall)
    return {
        "looks": figures,
        "items": len(vectors_NW),
        "width": encoder.width,
        "dtype": arguments.dtype,
        "made": told,
        "seconds_graph": build_seconds,
        "seconds_exact_one": exact_one,
        "seconds_exact_all": exact_seconds,
        **opened,
    }


def _more(vectors_IW: np.ndarray, items: int) -> tuple[np.ndarray, str]:
    """So many vectors: copies of those given, each moved about as far as its nearest is away; and in words."""
    rng = np.random.default_rng(0)
    exact = Exact(vectors_IW.shape[1])
    exact.add(np.arange(len(vectors_IW)), vectors_IW)
    some = rng.choice(len(vectors_IW), min(1000, len(vectors_IW)), replace=False)
    near = float(np.median(exact.search(vectors_IW[some], 2)[1][:, 1]))
    length = np.linalg.norm(vectors_IW, axis=1).mean()
    away = np.sqrt(max(1e-6, (length / max(near / length, 1e-3)) ** 2 - length**2))
    found = np.empty((items, vectors_IW.shape[1]), np.float16)
    for start in range(0, items, 50_000):
        stop = min(start + 50_000, items)
        own = vectors_IW[np.arange(start, stop) % len(vectors_IW)]
        noise = rng.normal(size=own.shape).astype(np.float32) * away / np.sqrt(own.shape[1])
        if start >= len(vectors_IW):
            own = own + noise
        found[start:stop] = own / np.linalg.norm(own, axis=1, keepdims=True) * length
    told = (
        f"{len(vectors_IW):,} images' vectors, and copies of them moved so far that a copy's product with its origin "
        f"is {near:.3f}, the median of that with the nearest other image"
    )
    return found, told


def _opened(
    arguments: argparse.Namespace,
    encoder: Encoder,
    precision: str,
    vectors_NW: np.ndarray,
    graph: Graph,
    recall: float,
) -> dict[str, Any]:
    """Seconds to open an index of so many items, one row of each, as it was left: its graph's recall is known."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)) / "index"
        about = about_of(encoder, arguments.model, precision, 36, 36)
        with Index.create(folder, about) as index:
            row_SH = torch.zeros(1, encoder.model.config.hidden_size, dtype=index.tokens.dtype)
            for start in range(0, len(vectors_NW), 10_000):
                some = vectors_NW[start : start + 10_000]
                at = index.tokens.append(row_SH.expand(len(some), -1))
                index.truth.put(
                    [
                        NewItem(
                            f"item-{start + n}",
                            "",
                            {},
                            (1, n),
                            None,
                            None,
                            (1, 1),
                            row.tobytes(),
                            at + n,
                            1,
                            b"",
                        )
                        for n, row in enumerate(some)
                    ]
                )
        snapshots.save(folder, graph, len(vectors_NW), {"recall": recall})
        index, seconds = _timed(lambda: Index.open(folder))
        resident = _resident()
        with index:
            assert len(index) == len(vectors_NW)
            _, first = _timed(lambda: index.search(vectors_NW[:1].astype(np.float32), NEAREST))
        sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}
    report.table(
        f"an index of {len(vectors_NW):,} items opens in {seconds:.1f} s ({resident:,.0f} MB resident in all)",
        ["file", "MB"],
        [[name, f"{size:,.0f}"] for name, size in sizes.items()],
    )
    return {
        "seconds_open": seconds,
        "seconds_first_search": first,
        "megabytes": sizes,
        "resident_megabytes": resident,
    }


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


# Packed against padded


def packed(arguments: argparse.Namespace) -> dict[str, Any]:
    config = InterBertConfig.from_preset(
        arguments.preset, vocab_size=30522, feature_width=FEATURE_WIDTH, prediction_heads=["match", "search"]
    )
    model, precision = placed(
        InterBertForPreTraining.from_seed(config, 0), torch.device("cpu"), arguments.precision
    )
    world = World(model, arguments.requests)
    rows, figures = [], {}
    for name, sizes in (("1 to 4", (1, 4)), ("32", (32, 32))):
        requests = world.requests(sizes)
        pairs = sum(len(items) for _, items in requests)
        ways: dict[str, Callable[[], np.ndarray]] = {
            "padded, a request at a time": lambda requests=requests: world.padded(requests),
            "padded, with our products": lambda requests=requests: world.padded(requests, laid_out=True),
            "packed, a request at a time": lambda requests=requests: world.packed(requests, together=False),
            "packed, requests together": lambda requests=requests: world.packed(requests, together=True),
        }
        odds, seconds = {}, {}
        for way, run in ways.items():
            run()
            odds[way], seconds[way] = _timed(run)
        first = next(iter(ways))
        for way in ways:
            apart = np.abs(odds[way] - odds[first]).max() / np.abs(odds[first]).max()
            assert apart < (1e-3 if precision == "fp32" else 0.1), f"{way} says something else: {apart}"
            rows.append(
                [name, way, f"{len(requests) / seconds[way]:.1f}", f"{seconds[first] / seconds[way]:.2f}"]
            )
        figures[name] = {way: {"requests_per_second": len(requests) / took} for way, took in seconds.items()}
        figures[name]["pairs"] = pairs
    report.table(
        f"{arguments.preset}, {precision}, {REGIONS[0]}-{REGIONS[1]} regions, queries of {WORDS[0]}-{WORDS[1]} "
        f"tokens, {torch.get_num_threads()} threads",
        ["candidates", "way", "requests/s", "times"],
        rows,
    )
    return {"precision": precision, "preset": arguments.preset, "requests": figures}


class World:
    """Items with regions, queries, and what a server would keep of the items."""

    def __init__(self, model: InterBertForPreTraining, count: int, items: int = 500) -> None:
        self.padded_model = PaddedModel(copy.deepcopy(model), ("match_logits",))
        lay_out(model.interbert)  # as a server does
        self.padded_laid_out = PaddedModel(model, ("match_logits",))
        self.model, self.encoder, self.budget = model, Encoder(model), budget_of(torch.device("cpu"))
        self.ranker = Ranker(self.encoder)
        self.count, self.rng = count, np.random.default_rng(0)
        rng = self.rng
        self.regions = rng.integers(REGIONS[0], REGIONS[1] + 1, items)
        self.features = [
            np.maximum(rng.standard_normal((n, FEATURE_WIDTH), np.float32), 0).astype(np.float16)
            for n in self.regions
        ]
        self.boxes = [rng.random((n, 5), np.float32) for n in self.regions]
        self.rows = []
        for features, boxes in zip(self.features, self.boxes, strict=True):
            side = self.encoder.images(
                torch.from_numpy(features), torch.from_numpy(boxes), np.array([len(boxes)])
            ).side
            self.rows.append(side.x_SH)

    def requests(self, sizes: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """(ids of the query, numbers of its candidates) each."""
        found = []
        for _ in range(self.count):
            ids = self.rng.integers(1000, 30000, self.rng.integers(WORDS[0], WORDS[1] + 1))
            found.append(
                (
                    ids,
                    self.rng.choice(len(self.rows), self.rng.integers(sizes[0], sizes[1] + 1), replace=False),
                )
            )
        return found

    @torch.inference_mode()
    def padded(self, requests: list[tuple[np.ndarray, np.ndarray]], laid_out: bool = False) -> np.ndarray:
        """As a plain server does it: the query with each candidate's stored regions, padded to the most of them.
        laid_out: with the products of ours."""
        model = self.padded_laid_out if laid_out else self.padded_model
        found, dtype = [], next(self.model.parameters()).dtype
        for ids, items in requests:
            count, most = len(items), int(self.regions[items].max())
            features = np.zeros((count, most, FEATURE_WIDTH), np.float16)
            boxes, mask = np.zeros((count, most, 5), np.float32), np.zeros((count, most), np.int64)
            for place, item in enumerate(items):
                kept = self.regions[item]
                features[place, :kept], boxes[place, :kept], mask[place, :kept] = (
                    self.features[item],
                    self.boxes[item],
                    1,
                )
            ids_BL = torch.from_numpy(np.tile(ids, (count, 1)))
            (logits,) = model(
                ids_BL,
                torch.ones_like(ids_BL),
                torch.zeros_like(ids_BL),
                torch.from_numpy(features).to(dtype),
                torch.from_numpy(boxes).to(dtype),
                torch.from_numpy(mask),
            )
            found.append((logits[:, 0] - logits[:, 1]).float().numpy())
        return np.concatenate(found)

    def packed(self, requests: list[tuple[np.ndarray, np.ndarray]], together: bool) -> np.ndarray:
        """As our server does it, with the rows that it keeps of the candidates."""
        if not together:
            return np.concatenate([self._packed([one]) for one in requests])
        found, waiting, tokens = [], [], 0
        for ids, items in requests:
            mine = int((self.regions[items] + 1 + len(ids)).sum())
            if waiting and tokens + mine > self.budget:
                found.append(self._packed(waiting))
                waiting, tokens = [], 0
            waiting.append((ids, items))
            tokens += mine
        return np.concatenate([*found, self._packed(waiting)])

    def _packed(self, requests: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        sides = split(self.encoder.text_side([ids for ids, _ in requests]))
        pairs = [
            Pairs([side], [Rows(self.rows[item], None) for item in items.tolist()])
            for side, (_, items) in zip(sides, requests, strict=True)
        ]
        rows = [one.rows_SH for each in pairs for one in each.candidates]
        text_of = np.repeat(np.arange(len(requests)), [len(items) for _, items in requests])
        lengths = np.array([len(one) for one in rows])
        return self.ranker.log_odds(sides, torch.cat(rows), lengths, text_of, np.arange(len(rows)))


def _tokens(corpus: Corpus, encoder: Encoder, folder: Path):
    return token_table(corpus, load_tokenizer(folder), encoder.model.config.max_position_embeddings)


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    found = run()
    return found, time.perf_counter() - began
