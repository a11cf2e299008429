"""Which examples come in which micro-batch: each epoch all of them, in an order of its own; to be judged, as they are
in their file."""

from dataclasses import replace
from typing import Any

import numpy as np

from interbert.batches.capacities import Capacities, cut
from interbert.batches.endless import EndlessPlan, EpochPlan, MaskKind, Rows, make_draw
from interbert.config import Settings
from interbert.corpus.examples import Examples
from interbert.corpus.tokens import TokenTable
from interbert.rng import Purpose


class ExamplePlan(EndlessPlan):
    """The pairs of an example stand together and in their order, and stay in one micro-batch."""

    def __init__(
        self, examples: Examples, corpus: Any, tokens: TokenTable, settings: Settings, in_order: bool = False
    ) -> None:
        """corpus: None where the examples are text alone. in_order: one epoch, as the file has it."""
        super().__init__()
        self.draw = make_draw(settings.train.seed)
        self._examples, self._in_order = examples, in_order
        self._types_N = None if in_order else types_in_turn(examples, settings)
        self._step = 0 if self._types_N is None else settings.micro_batches
        self._text_P = tokens.lengths[examples.text_P]
        self._regions_P = regions_of(examples, corpus, settings.data.max_regions)
        self.capacities = self._capacities(settings)

    def make(self, epoch: int) -> EpochPlan:
        order_N = np.arange(len(self._examples))
        if not self._in_order:
            order_N = order_N[self.draw(Purpose.ORDER, epoch).permutation(len(self._examples))]
        if self._types_N is None:
            return self._planned(order_N)
        types_N = self._types_N[order_N]
        return in_turn([self._planned(order_N[types_N == type_]) for type_ in np.unique(types_N)], self._step)

    def _planned(self, order_N: np.ndarray) -> EpochPlan:
        """These examples, in this order."""
        examples = self._examples
        pairs_N = np.diff(examples.first_pair)[order_N]
        starts_N = np.concatenate([[0], np.cumsum(pairs_N)])
        shift_N = examples.first_pair[order_N] - starts_N[:-1]
        pair_P = np.arange(starts_N[-1]) + np.repeat(shift_N, pairs_N)
        is_match_P = np.ones(len(pair_P), bool) if examples.is_match_P is None else examples.is_match_P == 1
        rows = Rows(
            examples.image_P[pair_P],
            examples.text_P[pair_P],
            is_match_P if examples.is_match_P is None else is_match_P[pair_P],
            np.full(len(pair_P), MaskKind.NONE, np.uint8),
            np.repeat(order_N, pairs_N).astype(np.int32),
        )
        return EpochPlan(rows, cut(self.capacities, self._text_P[pair_P], self._regions_P[pair_P], starts_N))

    def _capacities(self, settings: Settings) -> Capacities:
        """Those of any pairs, but no less than the largest example needs; what never fits is refused here."""
        first = self._examples.first_pair[:-1]
        text_N = np.add.reduceat(self._text_P, first)
        regions_N = np.add.reduceat(self._regions_P, first)
        pairs_N = np.diff(self._examples.first_pair)
        tokens_N = text_N + regions_N + (0 if self._examples.text_only else pairs_N)
        most = int(tokens_N.argmax())
        if tokens_N[most] > settings.token_budget:
            who = f"{self._examples.where(most)}: example {self._examples.ids[most]!r}"
            refuse_group(who, tokens_N[most], settings)
        largest = (int(text_N.max()), int(regions_N.max()), int(pairs_N.max()))
        found = capacities_of_groups(settings, self._text_P, self._regions_P, largest)
        return replace(found, global_tokens=0) if self._examples.text_only else found


def types_in_turn(examples: Examples, settings: Settings) -> np.ndarray | None:
    """int [N]: the number of each example's type, where steps take the types in turn."""
    if not settings.task.in_turn:
        return None
    names, types_N = np.unique(examples.types, return_inverse=True)
    if len(names) == 1:
        raise ValueError(
            f"{examples.path}: task.in_turn takes the types of examples in turn, and all of these are of one "
            f"({str(names[0])!r}); give --set task.in_turn=false"
        )
    return types_N


def in_turn(parts: list[EpochPlan], step: int) -> EpochPlan:
    """As many steps of each part, one after the other. What has fewer, or an incomplete last one, begins anew."""
    steps = -(-max(part.micro_batches for part in parts) // step)
    taken = [
        part.micro_batch(number % part.micro_batches)
        for first in range(0, steps * step, step)
        for part in parts
        for number in range(first, first + step)
    ]
    starts = np.concatenate([[0], np.cumsum([len(rows) for rows in taken])]).astype(np.int64)
    return EpochPlan(Rows.joined(taken), starts)


def capacities_of_groups(
    settings: Settings,
    text_P: np.ndarray,
    regions_P: np.ndarray,
    largest: tuple[int, int, int],
    who: str = "",
) -> Capacities:
    """Those of any pairs, but no less than the largest group may need: text tokens, regions and pairs.

    who: a group that is refused where all of that together is more than the budget.
    """
    found = Capacities.derive(settings.token_budget, settings.data, settings.masks, text_P, regions_P)
    text, regions, pairs = largest
    if who and text + regions + pairs > found.tokens:
        refuse_group(who, text + regions + pairs, settings)
    return replace(
        found,
        text=max(found.text, text),
        regions=max(found.regions, regions, 1),
        pairs=max(found.pairs, pairs),
        masked_tokens=1,
        masked_regions=1,
    )


def refuse_group(who: str, tokens: int, settings: Settings) -> None:
    raise ValueError(
        f"{who} may need {tokens} tokens, whose pairs stay together, and a micro-batch holds {settings.token_budget} "
        "(data.token_budget, or train.batch); raise that, or lower data.max_text_tokens or data.max_regions"
    )


def regions_of(examples: Examples, corpus: Any, most: int) -> np.ndarray:
    """int32 [P]: regions that a pair brings."""
    if examples.text_only:
        return np.zeros(len(examples.image_P), np.int32)
    return np.minimum(corpus.region_counts[examples.image_P], most).astype(np.int32)
