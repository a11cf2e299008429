"""Judging on held-out examples: what the model says of all of them, and the figures that come of it."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from interbert.batches.batch import Batch
from interbert.batches.example_plan import ExamplePlan
from interbert.batches.prepare_examples import ExamplePreparer
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.corpus.tokens import TokenTable
from interbert.ranks.distributed import Ranks
from interbert.tasks.answers import answers_of
from interbert.tasks.figures import figures_of
from interbert.tasks.metrics import metric_of
from interbert.tasks.outputs import Outputs, Part, assemble
from interbert.train.engine.engine import Engine, summarise


class ExampleJudge:
    def __init__(
        self, examples: Examples, tokens: TokenTable, corpus: Corpus | None, settings: Settings
    ) -> None:
        self.examples, self._corpus = examples, corpus
        self._settings = settings
        self._plan = ExamplePlan(examples, corpus, tokens, settings, in_order=True)
        self._preparer = ExamplePreparer(corpus, tokens, self._plan, settings, examples)
        self._slot = self._preparer.make_slot()
        metric = metric_of(examples.kind, settings.task.metric, _present(examples))
        self.figure, self.larger = metric.name, metric.larger_is_better

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        outputs, losses = self.outputs(engine, ranks)
        answers = answers_of(self.examples, outputs, self._corpus)
        return {"loss": losses["loss"]} | figures_of(self.examples, outputs, answers)

    @torch.no_grad()
    def outputs(self, engine: Engine, ranks: Ranks) -> tuple[Outputs, dict[str, float]]:
        """Of all examples, on every rank; and the losses. Every rank runs as many forwards (ZeRO-3 needs that)."""
        engine.deepspeed.eval()
        parts, sums = [], np.zeros(3)
        scales = dict.fromkeys(engine.terms, 1.0)
        (term,) = engine.terms.values()
        for batch, counts in self._batches(ranks):
            _, stats, said = engine.deepspeed(batch.to(ranks.device), scales)
            if counts:
                parts.append(_part(batch, said.float().cpu().numpy(), self.examples.kind))
                sums += [*stats[0].tolist(), batch.counts()[term.counted_by]]
        engine.deepspeed.train()
        everyone = [part for own in ranks.gather(parts) for part in own]
        return assemble(everyone, len(self.examples)), summarise(engine.terms, ranks.sum(sums.tolist()))

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        return None

    def _batches(self, ranks: Ranks) -> Iterator[tuple[Batch, bool]]:
        """This rank's micro-batches, and whether each counts: one that only keeps the ranks in step does not."""
        epoch = self._plan.epoch(0)
        for first in range(0, epoch.micro_batches, ranks.world_size):
            index = first + ranks.rank
            there = min(index, epoch.micro_batches - 1)
            rows = epoch.micro_batch(there)
            yield self._preparer.prepare(self._slot, rows, 0, there), there == index


def _part(batch: Batch, flat: np.ndarray, kind: str) -> Part:
    groups = batch.groups
    pairs_G = groups.cu_group.diff().numpy()
    if kind == "point":
        counts_G = batch.cu_regions[groups.cu_group.long()].diff().numpy()
    elif kind in ("choose", "match"):
        counts_G = pairs_G
    else:
        counts_G = np.full(len(pairs_G), len(flat) // len(pairs_G))
    return Part(groups.examples_G.numpy().copy(), counts_G, flat)


def _present(examples: Examples) -> list[str] | None:
    """Which figures there will be, told from stand-ins for what a model says."""
    if not examples.known_N.any():
        raise ValueError(
            f"{examples.path}: no example says what is right, so nothing can be judged on it; "
            "give examples with labels as --validation"
        )
    return None
