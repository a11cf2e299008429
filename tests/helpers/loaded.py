"""What a loader gives of small_world, copied, to be compared."""

from dataclasses import fields
from itertools import islice

import torch
from small_world import WordTokenizer, settings

from interbert.batches.endless import Position
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for

VOCABULARY = Vocabulary.of(WordTokenizer())
START = Position()
MIXED = {"mismatch": {"side": "either", "hard_share": 0.2, "swap_share": 0.2}}


def load(corpus, steps, wanted=None, rank=0, world_size=1, start=START):
    """Copies of what a loader gives in its first steps: [(numbers, batches, position)]."""
    wanted = wanted or settings(**MIXED)
    tokens = token_table(corpus, WordTokenizer(), wanted.data.max_text_tokens)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    with Loader(
        Preparer(corpus, tokens, plan, wanted, VOCABULARY), plan, wanted, rank, world_size, start
    ) as loader:
        return [
            (step.numbers, [batch._map(torch.clone) for batch in step.batches], step.position)
            for step in islice(loader, steps)
        ]


def assert_same(one, two):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all()), field.name
        else:
            assert a == b, field.name
