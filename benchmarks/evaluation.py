"""Scoring 1,000 images x 5,000 captions: the released way, packed, and with what pairs share computed once.

    python benchmarks/evaluation.py --json evaluation.json
    python benchmarks/evaluation.py --device cuda --whole --json evaluation.json

Some tiles of the matrix are scored by all ways in turn, of the released way a few captions of each. Pairs a second
are medians over the tiles, and so are the ratios, each of the same tile. `--whole` then scores the whole matrix as
evaluate.py does. Operations are those of whole pairs without anything shared.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.evaluation_ways import Packed, Padded, make_tokens, operations, write_data
from interbert.corpus.corpus import Corpus
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.kernels.cpu.host_memory import reuse_freed_memory
from interbert.model import InterBertConfig, InterBertForPreTraining
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.evaluation import TOKEN_BUDGET
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.tile_work import score_tiles

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.device == "cpu":
        reuse_freed_memory()  # as evaluate.py does; for all ways alike
    config = InterBertConfig.from_preset(arguments.preset)
    model = (
        InterBertForPreTraining.from_seed(config, 0).to(arguments.device, DTYPES[arguments.precision]).eval()
    )
    tokens = make_tokens(arguments.captions, config.vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder) / "data.h5", arguments.images, config.feature_width)
        with Corpus([Path(folder) / "data.h5"]) as corpus:
            figures = measure(model, corpus, tokens, arguments)
    report.write_json(arguments.json, {**vars(arguments), **figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--preset", default="base", choices=["tiny", "small", "base"])
    add("--images", type=int, default=1000)
    add("--captions", type=int, default=5000)
    add("--rounds", type=int, default=5, help="tiles that are scored by all ways")
    add(
        "--padded-captions",
        type=int,
        default=1,
        help="captions of each tile that are scored the released way",
    )
    add(
        "--token-budgets",
        type=int,
        nargs="+",
        help="of a micro-batch; each is timed (default: evaluate.py's)",
    )
    add(
        "--replayed",
        action="store_true",
        help="also with micro-batches of a few shapes, by CUDA graphs on a GPU",
    )
    add("--packed-budget", type=int, help="the same for the packed way (default: 4096; 32768 on a GPU)")
    add("--precision", choices=list(DTYPES), help="default: bf16 where the device has it")
    add("--whole", action="store_true", help="then score the whole matrix")
    add("--threads", type=int, default=torch.get_num_threads())
    add("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    best = "bf16" if has_bf16(torch.device(arguments.device)) else "fp32"
    arguments.precision = arguments.precision or best
    arguments.token_budgets = arguments.token_budgets or [TOKEN_BUDGET[arguments.device]]
    arguments.packed_budget = arguments.packed_budget or {"cpu": 4096, "cuda": 32768}[arguments.device]
    return arguments


def measure(model: Any, corpus: Any, tokens: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    scorers = scorers_of(model, corpus, tokens, arguments)
    ours = next(iter(scorers))
    scorer = min(scorers.values(), key=lambda s: s.token_budget)  # whose tiles are the smallest
    packed, padded = Packed(model, corpus, tokens, arguments.packed_budget), Padded(model, corpus, tokens)
    ways: dict[str, Callable] = {
        "released: padded": lambda tile: padded.score(tile, arguments.padded_captions),
        "packed": packed.score,
        **{name: one.score for name, one in scorers.items()},
    }
    chosen = np.random.default_rng(2).permutation(len(scorer.tiles))[: arguments.rounds + 1]
    if len(chosen) == 1:  # of a small matrix: once for warming up, and once timed
        chosen = chosen.repeat(2)
    rates, apart = {name: [] for name in ways}, 0.0
    for number, tile in enumerate(scorer.tiles[n] for n in chosen):
        found = {}
        for name, way in ways.items():
            seconds, found[name] = timed(lambda way=way, tile=tile: way(tile))
            if number:  # the first is for warming up
                rates[name].append(found[name].size / seconds)
        difference = probabilities(found[ours]) - probabilities(found["packed"])
        apart = max(apart, float(np.abs(difference).max()))
        some = probabilities(found[ours])[:, : arguments.padded_captions]
        apart = max(apart, float(np.abs(some - probabilities(found["released: padded"])).max()))
    pairs = corpus.images * arguments.captions
    work = operations(model.config, scorer, iter(scorer.tiles)) / pairs
    figures = {"rates": rates, "operations_a_pair": work, "probabilities_apart": apart}
    figures["ratios"] = print_table(rates, ours, work, arguments)
    print(f"probabilities differ by {apart:.2g} at most, over {len(set(chosen))} tiles")
    if arguments.whole:
        best = scorers[ours]
        seconds, _ = timed(lambda: score_tiles(best, Ranks.alone(), None, progress=True, title="whole"))
        figures["whole"] = {"pairs": pairs, "seconds": seconds, "model_operations": work * pairs / seconds}
        print(f"{pairs:,} pairs in {seconds:,.1f} s: {work * pairs / seconds / 1e12:,.1f} model TFLOP/s")
    return figures


def scorers_of(model: Any, corpus: Any, tokens: Any, arguments: argparse.Namespace) -> dict[str, PairScorer]:
    """By name; the first is the one that the others are compared with."""
    chosen = [(budget, False) for budget in arguments.token_budgets]
    chosen += [(budget, True) for budget in arguments.token_budgets if arguments.replayed]
    images, captions = np.arange(corpus.images), np.arange(arguments.captions)
    return {
        f"shared parts, {budget:,} tokens{', few shapes' if replayed else ''}": PairScorer(
            model,
            corpus,
            tokens,
            images,
            captions,
            token_budget=budget,
            device=arguments.device,
            replayed=replayed,
        )
        for budget, replayed in chosen
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()  # scores come back to the host: what was asked of the device is done
    return time.perf_counter() - began, found


def probabilities(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds.astype(np.float64)))


def print_table(
    rates: dict[str, list[float]], ours: str, work: float, arguments: argparse.Namespace
) -> dict[str, float]:
    ratios, rows = {}, []
    for name, of_tiles in rates.items():
        ratios[name] = statistics.median(
            mine / theirs for mine, theirs in zip(rates[ours], of_tiles, strict=True)
        )
        rate = statistics.median(of_tiles)
        rows.append([name, rate, f"{rate * work / 1e12:.3g}", f"{ratios[name]:.2f}"])
    header = [arguments.precision, "pairs/s", "model TFLOP/s", f"{ours} is faster by"]
    title = f"{arguments.preset}, {len(rates[ours])} tiles of {arguments.images:,} x {arguments.captions:,}"
    report.table(f"{title} ({report.machine()}, {arguments.threads} threads)", header, rows)
    return ratios


if __name__ == "__main__":
    main()
