"""How long a call takes on this machine."""

import time
from collections.abc import Callable, Sequence

import torch

from interbert.deploy.formats import Run
from interbert.deploy.padded_model import PaddedModel
from interbert.deploy.pairs import Pair, padded

EXAMPLES = (1, 8, 32)


def latencies(model: PaddedModel, run: Run, pairs: Sequence[Pair], rounds: int) -> list[dict[str, float]]:
    """Median milliseconds of a call, the model's own (packed, by torch) and the export's, in turn."""
    rows, add_global = [], model.config.global_token != "none"
    for examples in EXAMPLES:
        chosen = [pairs[n % len(pairs)] for n in range(examples * model.images)]
        inputs = padded(chosen)
        ways: dict[str, Callable[[], object]] = {
            "model": lambda i=inputs: model.model(*i, add_global=add_global),
            "export": lambda i=inputs: run(i),
        }
        taken = {name: [] for name in ways}
        with torch.inference_mode():
            for _ in range(rounds + 1):
                for name, way in ways.items():
                    begun = time.perf_counter()
                    way()
                    taken[name].append(time.perf_counter() - begun)
        # The first of each warms up.
        medians = {f"{name}_ms": 1e3 * sorted(times[1:])[rounds // 2] for name, times in taken.items()}
        rows.append(
            {"examples": examples, "tokens": inputs[0].shape[1], "regions": inputs[3].shape[1], **medians}
        )
    return rows
