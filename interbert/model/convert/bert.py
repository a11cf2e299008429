"""BERT's weights in the joint and text layers: the first half of its layers, then the second."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interbert.model.beginning import Read, drawn, fill
from interbert.model.convert.files import read_weights
from interbert.model.convert.parts import Part, layer, match, plain_names, stacked, text_embeddings, word_head
from interbert.model.convert.report import Report
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.from_bert import fields_from_bert, read_sizes

SET_ASIDE = (
    "pooler",  # ours pools each stream to another width
    "cls.seq_relationship",  # next sentence
    "cls.predictions.decoder",  # the word embedding and the bias a second time
    "embeddings.position_ids",  # a buffer of old versions
)


def load_bert(
    folder: str | Path, seed: int = 0, preset: str = "base", **fields: Any
) -> tuple[InterBertForPreTraining, Report]:
    """An InterBERT whose joint and text layers, embeddings and word head are those of a local Hugging Face BERT.

    What BERT does not decide (image layers, pooler …) is the preset's, or given in `fields`. Which parameters came
    from BERT is kept in `config.inherited_parameters`.
    """
    model, read, report = open_bert(folder, seed, preset, **fields)
    return fill(model, read), report


def open_bert(
    folder: str | Path, seed: int, preset: str, **fields: Any
) -> tuple[InterBertForPreTraining, Read, Report]:
    """The same, empty, and what gives its weights one by one."""
    config = InterBertConfig(**fields_from_bert(read_sizes(Path(folder)), str(folder), preset, **fields))
    weights = plain_names(read_weights(folder), {"bert.": ""})
    model = InterBertForPreTraining.empty(config)
    report = Report(str(folder))
    headless = ("heads.tokens",) if "cls.predictions.bias" not in weights else ()
    aside = SET_ASIDE if "tokens" in model.heads else (*SET_ASIDE, "cls.predictions")
    matched = match(model, weights, parts(model), report, aside, headless)
    _check_decoder(weights, report)
    report.check()
    model.config.inherited_parameters = list(matched)
    fresh = drawn(model, seed, model.config.initializer_range)
    return (
        model,
        lambda name: stacked(matched[name], weights) if name in matched else fresh(name),
        report,
    )


def parts(model: InterBertForPreTraining) -> list[Part]:
    found = text_embeddings("interbert.text_embeddings", "embeddings")
    number = 0
    for s, stage in enumerate(model.config.encoder_stages):
        if stage.kind in ("joint", "text"):
            for n in range(stage.layers):
                found += layer(f"interbert.stages.{s}.{n}", f"encoder.layer.{number}")
                number += 1
    return found + (word_head("heads.tokens", "cls.predictions") if "tokens" in model.heads else [])


def _check_decoder(weights: dict[str, Tensor], report: Report) -> None:
    decoder, words = (
        weights.get("cls.predictions.decoder.weight"),
        weights.get("embeddings.word_embeddings.weight"),
    )
    if decoder is not None and words is not None and not torch.equal(decoder, words):
        report.wrong_shape.append(
            "cls.predictions.decoder.weight: differs from the word embedding, but here they are one"
        )
