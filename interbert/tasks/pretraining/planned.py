"""From settings to the data of pretraining and its plan: which pairs come in which micro-batch. Light to import."""

from collections.abc import Callable
from pathlib import Path

from interbert.batches.evidence import refuse_unserved
from interbert.batches.plan import Plan
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable
from interbert.corpus.unknown import refuse_unknown
from interbert.corpus.words import table_for
from interbert.mining.negatives import candidates_for, needs_candidates, refuse_too_many
from interbert.ranks.distributed import Ranks
from interbert.tokenizer import Tokenizer
from interbert.train.start.provide import tokenizer_folder
from interbert.train.start.settle import Lengths


def open_data(
    settings: Settings, ranks: Ranks, read_tokenizer: Callable[[Path], Tokenizer]
) -> tuple[Corpus, Tokenizer, TokenTable, Lengths]:
    corpus = Corpus(settings.data.train)
    refuse_unserved(settings.objectives, corpus.evidence)
    tokenizer = read_tokenizer(tokenizer_folder(settings))
    # Token ids, like hard negatives, are computed once, by one rank, and then read by all.
    ranks.main_only(lambda: table_for(corpus, tokenizer, settings) and None)
    tokens = table_for(corpus, tokenizer, settings)
    refuse_unknown(
        tokens, tokenizer, ", ".join(settings.data.train), corpus.caption_text, settings.data.max_unknown
    )
    images_C = corpus.caption_image[: corpus.captions]
    lengths = Lengths.of_captions(tokens, images_C, corpus.region_counts, settings.data.max_regions)
    return corpus, tokenizer, tokens, lengths


def build_plan(settings: Settings, corpus: Corpus, tokens: TokenTable, ranks: Ranks) -> Plan:
    ranks.main_only(lambda: candidates_for(corpus, settings) and None)
    return Plan(corpus, tokens, settings, candidates_for(corpus, settings))


def plan_without_mining(settings: Settings, corpus: Corpus, tokens: TokenTable) -> Plan:
    """All mismatches random: micro-batches differ by a few words, but nobody waits for a table to be mined.

    What the run would refuse of its table is refused here too.
    """
    mismatch = settings.mismatch
    if mismatch.hard_table:
        candidates_for(corpus, settings)
    elif needs_candidates(settings):
        refuse_too_many(corpus)
    random = settings.model_copy(update={"mismatch": mismatch.model_copy(update={"hard_share": 0.0})})
    return Plan(corpus, tokens, random)
