"""What a run reads: the loader of a rank, the fixed batches of validation, the way to the device."""

from collections.abc import Callable

import torch

from interbert.config import Settings
from interbert.data.batch import Batch
from interbert.data.corpus import Corpus
from interbert.data.loader import Loader, fixed_batches
from interbert.data.masking import Vocabulary
from interbert.data.plan import Plan, Position
from interbert.data.tokens import token_table
from interbert.tokenizer import Tokenizer
from interbert.train.class_head import class_head_of
from interbert.train.distributed import Ranks
from interbert.train.planned import RunData


class Upload:
    """Brings batches to the device. On a GPU the copies go on while the host does; `wait` before their memory is
    used again."""

    def __init__(self, device: torch.device, complete: Callable[[Batch], Batch] | None = None) -> None:
        """complete: what is still to be computed for a batch once it is there."""
        self._device, self._complete = device, complete
        self._copied = torch.cuda.Event() if device.type == "cuda" else None

    def __call__(self, batches: list[Batch]) -> list[Batch]:
        there = [batch.to(self._device) for batch in batches]
        if self._copied:
            self._copied.record()
        return [self._complete(batch) for batch in there] if self._complete else there

    def wait(self) -> None:
        if self._copied:
            self._copied.synchronize()


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
