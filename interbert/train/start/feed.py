"""What a run reads: the loader of a rank, the fixed batches of validation."""

from interbert.batches.batch import Batch
from interbert.batches.loader import Loader, fixed_batches
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan, Position
from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.ranks.distributed import Ranks
from interbert.tokenizer import Tokenizer
from interbert.train.start.class_head import class_head_of
from interbert.train.start.planned import RunData


def build_loader(settings: Settings, data: RunData, plan: Plan, ranks: Ranks, start: Position) -> Loader:
    vocabulary = Vocabulary.of(data.tokenizer)
    return Loader(data.corpus, data.tokens, plan, settings, vocabulary, ranks.rank, ranks.world_size, start)


def validation_batches(settings: Settings, tokenizer: Tokenizer) -> list[Batch]:
    corpus = Corpus(settings.data.validation)
    tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
    count = settings.train.validation_micro_batches
    try:
        batches = fixed_batches(corpus, tokens, _plain(settings), Vocabulary.of(tokenizer), count)
    except ValueError as error:
        raise ValueError(f"data.validation, {', '.join(settings.data.validation)}: {error}") from None
    head = class_head_of(corpus, settings)
    return [head(batch) for batch in batches] if head else batches


def _plain(settings: Settings) -> Settings:
    """Every caption of every held-out set once, against random captions: weights are those of the training sets, and
    candidates and falsified versions (which not every set has) would be another test."""
    data = settings.data.model_copy(update={"weights": []})
    mismatch = settings.mismatch.model_copy(update={"hard_share": 0.0, "swap_share": 0.0})
    return settings.model_copy(update={"data": data, "mismatch": mismatch})
