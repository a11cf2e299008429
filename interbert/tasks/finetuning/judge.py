"""Judging on held-out examples: what the model says of all of them, and the figures that come of it."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import nn

from interbert.batches.batch import Batch
from interbert.batches.endless import EndlessPlan
from interbert.batches.example_plan import ExamplePlan
from interbert.batches.prepare_examples import ExamplePreparer
from interbert.batches.set_plan import SetPlan, random_in_place_of
from interbert.batches.slot import Slot
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.corpus.tokens import TokenTable, token_table
from interbert.mining.negatives import candidates_by
from interbert.ranks.distributed import Ranks
from interbert.store.features_of import refuse_other_features
from interbert.tasks.finetuning.matrix import NAMES as MATRIX
from interbert.tasks.finetuning.matrix import Matrix
from interbert.tasks.results.answers import answers_of, are_sets
from interbert.tasks.results.figures import figures_of
from interbert.tasks.results.metrics import METRICS, metric_of
from interbert.tasks.results.outputs import Outputs, Part, assemble
from interbert.tokenizer import Tokenizer
from interbert.train.engine.engine import Engine, names_of, summarise
from interbert.train.task import Term

log = logging.getLogger(__name__)


class SetJudge:
    """How often the true pair of a set is the likeliest, over fixed sets of held-out captions; and retrieval over a
    small fixed matrix of them.

    Look-alikes of other data were mined for other images: in their place stand random captions. What reads alike is
    mined anew.
    """

    figure, larger = "set_accuracy", True

    def __init__(self, settings: Settings, tokenizer: Tokenizer, trained_on: str | None) -> None:
        """trained_on: whose features the training data has."""
        settings = random_in_place_of(settings, "near_images")
        data = settings.data.model_copy(update={"weights": []})
        mismatch = settings.mismatch.model_copy(update={"hard_table": None})
        settings = settings.model_copy(update={"data": data, "mismatch": mismatch})
        corpus = Corpus(settings.data.validation)
        held_out = f"data.validation ({', '.join(settings.data.validation)})"
        refuse_other_features("the model", trained_on, held_out, corpus.features_of)
        candidates = candidates_by(corpus, mismatch) if settings.task.sets.near_captions else None
        tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
        self._plan = SetPlan(corpus, tokens, settings, candidates=candidates, validation=True)
        self._preparer = ExamplePreparer(corpus, tokens, self._plan, settings)
        self._slot = self._preparer.make_slot()
        self._matrix = Matrix(corpus, tokens, settings)
        self._most = settings.train.validation_micro_batches
        self._told: set[str] = set()

    def names(self, terms: dict[str, Term]) -> list[str]:
        return [*names_of(terms), self.figure, *MATRIX]

    @torch.no_grad()
    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        engine.deepspeed.eval()
        sums, sets, damaged = np.zeros(3), np.zeros(3), []
        scales = dict.fromkeys(engine.terms, 1.0)
        (term,) = engine.terms.values()
        for batch, counts in batches_of_rank(self._plan, self._preparer, self._slot, ranks, self._most):
            here = batch.to(ranks.device)
            _, stats, said = engine.deepspeed(here, scales)
            if counts:
                sums += [*stats[0].tolist(), batch.counts()[term.counted_by]]
                sets += [*true_among_best(said, batch), damaged_groups(batch).sum()]
                damaged += batch.damaged
        engine.deepspeed.train()
        say_once(damaged, self._told, ranks)
        hits, counted, left_out = ranks.sum(sets.tolist())
        losses = summarise(engine.terms, ranks.sum(sums.tolist()))
        found = losses | {"set_accuracy": hits / max(1.0, counted)} | self._matrix.figures(engine, ranks)
        return found | number_of(left_out)

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        return None


def true_among_best(said: torch.Tensor, batch: Batch) -> list[float]:
    """Of sets, whose true pair stands first: how many have it as their likeliest, by shares where several are equally
    likely; and how many there are that count."""
    said_GM = said.view(len(batch.groups.examples_G), -1)
    best_GM = said_GM == said_GM.max(1, keepdim=True).values
    share_G = (best_GM[:, 0].float() / best_GM.sum(1)).cpu()
    counts_G = batch.is_match_P.view(len(said_GM), -1)[:, 0] == 1
    return [float(share_G[counts_G].sum()), int(counts_G.sum())]


class ExampleJudge:
    def __init__(
        self,
        examples: Examples,
        tokens: TokenTable,
        corpus: Corpus | None,
        settings: Settings,
        soft: bool = False,
    ) -> None:
        """soft: the head weighs each class for itself, whatever the examples say."""
        self.examples, self._corpus = examples, corpus
        self._settings = settings
        self._plan = ExamplePlan(examples, corpus, tokens, settings, in_order=True)
        self._preparer = ExamplePreparer(corpus, tokens, self._plan, settings, examples, soft)
        self._slot = self._preparer.make_slot()
        self._told: set[str] = set()
        metric = metric_of(examples.kind, settings.task.metric, figures_present(examples))
        self.figure, self.larger = metric.name, metric.larger_is_better

    def names(self, terms: dict[str, Term]) -> list[str]:
        return ["loss", *(figures_present(self.examples) or [])]

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        outputs, losses = self.outputs(engine, ranks)
        answers = answers_of(self.examples, outputs, self._corpus)
        left_out = number_of(int((self.examples.known_N & outputs.damaged_N).sum()))
        return {"loss": losses["loss"]} | figures_of(self.examples, outputs, answers) | left_out

    def outputs(self, engine: Engine, ranks: Ranks) -> tuple[Outputs, dict[str, float]]:
        return self.said(engine.deepspeed, engine.terms, ranks)

    @torch.no_grad()
    def said(self, step: nn.Module, terms: dict[str, Term], ranks: Ranks) -> tuple[Outputs, dict[str, float]]:
        """Of all examples, on every rank; and the losses. Every rank runs as many forwards (ZeRO-3 needs that)."""
        step.eval()
        parts, sums, damaged = [], np.zeros(3), []
        scales = dict.fromkeys(terms, 1.0)
        (term,) = terms.values()
        for batch, counts in batches_of_rank(self._plan, self._preparer, self._slot, ranks):
            _, stats, said = step(batch.to(ranks.device), scales)
            if counts:
                parts.append(_part(batch, said.float().cpu().numpy(), self.examples.kind))
                sums += [*stats[0].tolist(), batch.counts()[term.counted_by]]
                damaged += batch.damaged
        step.train()
        say_once(damaged, self._told, ranks)
        everyone = [part for own in ranks.gather(parts) for part in own]
        return assemble(everyone, len(self.examples)), summarise(terms, ranks.sum(sums.tolist()))

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        return None


def figures_present(examples: Examples) -> list[str] | None:
    """Those that these examples will have; None where nothing of them is known."""
    if not examples.known_N.any():
        return None
    if examples.kind == "classify" and examples.scores is not None:
        return ["soft_accuracy"]
    names = [metric.name for metric in METRICS[examples.kind]]
    absent = {"soft_accuracy"}
    if examples.kind == "classify" and len(examples.classes) != 2:
        absent.add("f1")
    if examples.kind == "match" and not are_sets(examples).any():
        absent.add("set_accuracy")
    return [name for name in names if name not in absent]


def number_of(left_out: float) -> dict[str, float]:
    """Told among the figures where there were any: examples or sets with a damaged image, which these are not made
    of."""
    return {"left_out": left_out} if left_out else {}


def say_once(damaged: list[str], told: set[str], ranks: Ranks) -> None:
    """Names the damaged images of all ranks, those that were not named before."""
    for text in dict.fromkeys(text for own in ranks.gather(damaged) for text in own):
        if text not in told:
            told.add(text)
            log.info("left out of the figures: %s", text)


def damaged_groups(batch: Batch) -> np.ndarray:
    """bool [G]"""
    groups = batch.groups
    if groups.damaged_G is None:
        return np.zeros(len(groups.examples_G), bool)
    return groups.damaged_G.numpy().copy()


def batches_of_rank(
    plan: EndlessPlan, preparer: ExamplePreparer, slot: Slot, ranks: Ranks, most: int | None = None
) -> Iterator[tuple[Batch, bool]]:
    """This rank's micro-batches of the first epoch, and whether each counts: one that only keeps the ranks in step
    does not."""
    epoch = plan.epoch(0)
    count = min(epoch.micro_batches, most or epoch.micro_batches)
    for first in range(0, count, ranks.world_size):
        index = first + ranks.rank
        there = min(index, count - 1)
        yield preparer.prepare(slot, epoch.micro_batch(there), 0, there), there == index


def _part(batch: Batch, flat: np.ndarray, kind: str) -> Part:
    groups = batch.groups
    pairs_G = groups.cu_group.diff().numpy()
    if kind == "point":
        counts_G = batch.cu_regions[groups.cu_group.long()].diff().numpy()
    elif kind in ("choose", "match"):
        counts_G = pairs_G
    else:
        counts_G = np.full(len(pairs_G), len(flat) // len(pairs_G))
    return Part(groups.examples_G.numpy().copy(), counts_G, flat, damaged_groups(batch))
