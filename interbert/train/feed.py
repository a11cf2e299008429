"""From settings to what a run reads: the plan, the loader of a rank, the fixed batches of validation."""

from pathlib import Path

from interbert.config import Settings
from interbert.data.batch import Batch
from interbert.data.corpus import Corpus
from interbert.data.loader import Loader, fixed_batches
from interbert.data.masking import Vocabulary
from interbert.data.negatives import candidates_for
from interbert.data.plan import Plan, Position
from interbert.data.tokens import token_table
from interbert.tokenizer import Tokenizer
from interbert.train.class_head import class_head_of
from interbert.train.distributed import Ranks


def tokenizer_folder(settings: Settings) -> Path:
    if settings.data.tokenizer:
        return Path(settings.data.tokenizer)
    first = Path(settings.data.train[0])
    return (first if first.is_dir() else first.parent) / "tokenizer"


def build_plan(settings: Settings, corpus: Corpus, tokenizer: Tokenizer) -> Plan:
    tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
    return Plan(corpus, tokens, settings, candidates_for(corpus, settings))


def build_loader(
    settings: Settings, corpus: Corpus, tokenizer: Tokenizer, plan: Plan, ranks: Ranks, start: Position
) -> Loader:
    tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
    vocabulary = Vocabulary.of(tokenizer)
    return Loader(corpus, tokens, plan, settings, vocabulary, ranks.rank, ranks.world_size, start)


def fill_caches(settings: Settings, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """Token ids and hard negatives are computed once, by one rank, and then read by all."""
    token_table(corpus, tokenizer, settings.data.max_text_tokens)
    candidates_for(corpus, settings)


def validation_batches(settings: Settings, tokenizer: Tokenizer) -> list[Batch]:
    corpus = Corpus(settings.data.validation)
    tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
    # Matching is judged against random captions: a table mined from the held-out split would be another test.
    easy = settings.model_copy(update={"mismatch": settings.mismatch.model_copy(update={"hard_share": 0.0})})
    count = settings.train.validation_micro_batches
    batches = fixed_batches(corpus, tokens, easy, Vocabulary.of(tokenizer), count)
    head = class_head_of(corpus, settings)
    return [head(batch) for batch in batches] if head else batches
