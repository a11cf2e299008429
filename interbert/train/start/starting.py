"""The model that a run begins with."""

import logging
from collections.abc import Callable

import torch
from torch import nn

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.hub import local_folder
from interbert.model.beginning import Read, drawn, fill
from interbert.model.configuration import InterBertConfig
from interbert.model.convert import open_bert
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import open_ours
from interbert.tokenizer import Tokenizer
from interbert.train.engine.adapters import with_adapters
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.start.wanted_model import check_inherited, check_positions, wanted_fields

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(
    settings: Settings, corpus: Corpus, tokenizer: Tokenizer, engine: EngineConfig | None = None
) -> InterBertForPreTraining:
    """With the weights that training begins from. At stage 3 each is shared out among the ranks before the next is
    read, so that no rank ever holds the whole; without an engine, all are here."""
    model, read = with_adapters(*start_of(settings, corpus, tokenizer), settings.train)
    return fill(model, read, shared_out(engine) if engine is not None and engine.stage == 3 else None)


def shared_out(engine: EngineConfig) -> Callable[[nn.Parameter], None]:
    """What makes a rank keep its piece of a parameter alone, where and as ZeRO-3 keeps it."""
    import deepspeed

    def place(parameter: nn.Parameter) -> None:
        parameter.data = parameter.data.to(DTYPES[engine.precision])
        deepspeed.zero.Init(nn.ParameterList([parameter]), config_dict_or_path=engine.tree)

    return place


def start_of(
    settings: Settings, corpus: Corpus, tokenizer: Tokenizer
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
