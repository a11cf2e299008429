"""The model that pretraining begins with."""

import logging

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.hub import local_folder
from interbert.model.beginning import Read, drawn
from interbert.model.convert import open_bert
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import open_ours
from interbert.model.shape.configuration import InterBertConfig
from interbert.tasks.pretraining.wanted_model import check_inherited, check_positions, wanted_fields
from interbert.tokenizer import Tokenizer

log = logging.getLogger(__name__)


def start_of(
    settings: Settings, corpus: Corpus | None, tokenizer: Tokenizer
) -> tuple[InterBertForPreTraining, Read]:
    """An empty model and what reads its weights: fresh, from BERT, or from an InterBERT; fitting the data always."""
    wanted, seed = settings.model, settings.train.seed
    if wanted.inherit_from:
        model, read = open_ours(wanted.inherit_from)
        check_inherited(model.config, settings, corpus, tokenizer)
        return model, read
    fields = wanted_fields(settings, corpus, tokenizer)
    if wanted.bert:
        model, read, report = open_bert(local_folder(wanted.bert), seed, wanted.preset, **fields)
        log.info("%s", report)
        check_positions(model.config, settings, wanted.bert)
        return model, read
    model = InterBertForPreTraining.empty(
        InterBertConfig.from_preset(wanted.preset, wanted.architecture, **fields)
    )
    return model, drawn(model, seed, model.config.initializer_range)
