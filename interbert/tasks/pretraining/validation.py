"""Losses of pretraining on a held-out split with fixed masks, and one pair of it as a picture."""

import logging
from collections.abc import Callable

import torch
from PIL import Image
from torch import nn

from interbert.batches.batch import Batch
from interbert.batches.fixed import fixed_batches
from interbert.batches.masking import Vocabulary
from interbert.config import Settings, SettingsError
from interbert.corpus.corpus import Corpus
from interbert.corpus.words import table_for
from interbert.ranks.distributed import Ranks
from interbert.store.features_of import refuse_other_features
from interbert.tasks.pretraining.class_head import class_head_of
from interbert.tasks.pretraining.pictures import PairPicture
from interbert.tokenizer import Tokenizer
from interbert.train.engine.engine import Engine, names_of
from interbert.train.task import Term

log = logging.getLogger(__name__)

Draw = Callable[[nn.Module, torch.device], Image.Image]


class Validation:
    figure, larger = "loss", False

    def __init__(self, batches: list[Batch], draw: Draw | None = None) -> None:
        """batches: the same fixed ones on every rank; draw(model, device) -> picture of one pair."""
        self.batches = batches
        self._draw = draw

    def names(self, terms: dict[str, Term]) -> list[str]:
        return names_of(terms)

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        """Global means. Every rank runs the same number of forwards (ZeRO-3 needs that); fillers weigh nothing. Pairs
        with a damaged image count in none of them; where there are any, their number stands beside."""
        mine = self.batches[ranks.rank :: ranks.world_size]
        rounds = -(-len(self.batches) // ranks.world_size)
        fillers = [self.batches[0]] * (rounds - len(mine))
        weights = [1.0] * len(mine) + [0.0] * len(fillers)
        left_out = sum(len(batch.damaged) for batch in self.batches)
        figures = engine.evaluate([*mine, *fillers], weights, ranks)
        return figures | ({"left_out": float(left_out)} if left_out else {})

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        """On all ranks alike, for ZeRO-3 gathers weights module by module."""
        if self._draw is None:
            return None
        engine.deepspeed.eval()
        image = self._draw(engine.model, ranks.device)
        engine.deepspeed.train()
        return image


def open_validation(settings: Settings, training: Corpus, tokenizer: Tokenizer) -> Validation:
    return Validation(validation_batches(settings, training, tokenizer), PairPicture(settings, tokenizer))


def validation_batches(settings: Settings, training: Corpus, tokenizer: Tokenizer) -> list[Batch]:
    corpus = Corpus(settings.data.validation)
    _check_alike(corpus, training, settings)
    tokens = table_for(corpus, tokenizer, settings)
    count = settings.train.validation_micro_batches
    try:
        batches = fixed_batches(corpus, tokens, _plain(settings), Vocabulary.of(tokenizer), count)
    except ValueError as error:
        raise ValueError(f"data.validation, {', '.join(settings.data.validation)}: {error}") from None
    for text in dict.fromkeys(text for batch in batches for text in batch.damaged):
        log.info("left out of validation: %s", text)
    head = class_head_of(corpus, settings)
    return [head(batch) for batch in batches] if head else batches


def _check_alike(held_out: Corpus, training: Corpus, settings: Settings) -> None:
    for field in ("feature_width", "classes", "evidence"):
        ours, theirs = getattr(training, field), getattr(held_out, field)
        if ours != theirs:
            raise SettingsError(
                f"data.validation ({', '.join(settings.data.validation)}) has {field} {theirs}, but data.train "
                f"({', '.join(settings.data.train)}) {ours}; take a split of the same features"
            )
    refuse_other_features(
        f"a model of data.train ({', '.join(settings.data.train)})", training.features_of,
        f"data.validation ({', '.join(settings.data.validation)})", held_out.features_of,
    )  # fmt: skip


def _plain(settings: Settings) -> Settings:
    """Every caption of every held-out set once, against random captions: weights are those of the training sets, and
    candidates and falsified versions (which not every set has) would be another test."""
    data = settings.data.model_copy(update={"weights": []})
    mismatch = settings.mismatch.model_copy(update={"hard_share": 0.0, "swap_share": 0.0})
    return settings.model_copy(update={"data": data, "mismatch": mismatch})
