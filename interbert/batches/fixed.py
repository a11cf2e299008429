"""The same batches always and everywhere, for validation losses that can be compared."""

from typing import Any

from interbert.batches.batch import Batch
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.config import Settings
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable


def fixed_batches(
    corpus: Any,
    tokens: TokenTable,
    settings: Settings,
    vocabulary: Vocabulary,
    count: int,
    candidates: CandidateTable | None = None,
) -> list[Batch]:
    """The first micro-batches of a corpus under the draws of validation: always and everywhere the same.

    All of them, for any number of ranks, in memory of their own; fewer than `count` in a small corpus.
    """
    plan = Plan(corpus, tokens, settings, candidates, validation=True)
    preparer = Preparer(corpus, tokens, plan, settings, vocabulary)
    epoch = plan.epoch(0)
    batches = [
        preparer.prepare(preparer.make_slot(), epoch.micro_batch(index), 0, index)
        for index in range(min(count, epoch.micro_batches))
    ]
    plan.close()
    return batches
