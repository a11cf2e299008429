"""BERT's weights in the joint and text layers: the first half of its layers, then the second."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig

from interbert.model.configuration import ConfigurationError, InterBertConfig
from interbert.model.configuration import preset as preset_fields
from interbert.model.convert.files import read_weights
from interbert.model.convert.parts import Part, layer, text_embeddings, transfer, word_head
from interbert.model.convert.report import Report, WeightsError
from interbert.model.interbert import InterBertForPreTraining

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
    theirs = read_configuration(Path(folder))
    weights = _plain(read_weights(folder))
    model = InterBertForPreTraining.from_seed(configuration(theirs, str(folder), preset, **fields), seed)
    report = Report(str(folder))
    headless = ("heads.tokens",) if "cls.predictions.bias" not in weights else ()
    filled = transfer(model, weights, parts(model), report, SET_ASIDE, headless)
    _check_decoder(weights, report)
    report.check()
    model.config.inherited_parameters = filled
    return model, report


def read_configuration(folder: Path) -> BertConfig:
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder}: no config.json; give a local Hugging Face directory of a BERT")
    theirs = BertConfig.from_pretrained(folder)
    if theirs.model_type != "bert":
        raise WeightsError(f"{folder}: a {theirs.model_type}, not a bert")
    if theirs.hidden_act != "gelu":
        raise WeightsError(f"{folder}: hidden_act is {theirs.hidden_act!r}, and ours is gelu")
    return theirs


def configuration(theirs: BertConfig, where: str, preset: str, **fields: Any) -> InterBertConfig:
    """BERT's sizes, half its layers joint and half text."""
    layers, width = theirs.num_hidden_layers, theirs.hidden_size
    if layers % 2:
        raise WeightsError(
            f"{where}: {layers} layers do not divide into a joint and a text half; take an even number"
        )
    rest = {**preset_fields(preset), **fields}
    image = [stage for stage in rest.pop("stages") if stage["kind"] == "image"]
    for stage in image:
        if width % stage["heads"]:
            raise ConfigurationError(
                f"{where}: hidden_size {width} does not divide into the {stage['heads']} heads of the image layers; "
                "give the image stage another number of heads (model.override.stages)"
            )
    for name in ("vocab_size", "hidden_size"):
        if fields.get(name, getattr(theirs, name)) != getattr(theirs, name):
            raise WeightsError(
                f"{where}: its {name} is {getattr(theirs, name)}, but {fields[name]} is asked for; leave it out, "
                "or take the BERT that belongs to the tokenizer"
            )
    own = {
        "heads": theirs.num_attention_heads,
        "intermediate_size": theirs.intermediate_size,
        "hidden_dropout": theirs.hidden_dropout_prob,
        "attention_dropout": theirs.attention_probs_dropout_prob,
    }
    halves = [{"kind": kind, "layers": layers // 2, **own} for kind in ("joint", "text")]
    rest |= {
        "vocab_size": theirs.vocab_size,
        "hidden_size": width,
        "max_position_embeddings": theirs.max_position_embeddings,
        "type_vocab_size": theirs.type_vocab_size,
        "layer_norm_eps": theirs.layer_norm_eps,
        "initializer_range": theirs.initializer_range,
        "stages": [*halves, *image],
    }
    return InterBertConfig(**rest)


def parts(model: InterBertForPreTraining) -> list[Part]:
    found = text_embeddings("interbert.text_embeddings", "embeddings")
    number = 0
    for s, stage in enumerate(model.config.encoder_stages):
        if stage.kind in ("joint", "text"):
            for n in range(stage.layers):
                found += layer(f"interbert.stages.{s}.{n}", f"encoder.layer.{number}")
                number += 1
    return found + (word_head("heads.tokens", "cls.predictions") if "tokens" in model.heads else [])


def _plain(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """With and without `bert.`, and the names that LayerNorm's weights had in BERT's first release."""
    older = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    plain = {}
    for name, value in weights.items():
        for old, new in older.items():
            name = name.replace(old, new)
        plain[name.removeprefix("bert.")] = value
    return plain


def _check_decoder(weights: dict[str, Tensor], report: Report) -> None:
    decoder, words = (
        weights.get("cls.predictions.decoder.weight"),
        weights.get("embeddings.word_embeddings.weight"),
    )
    if decoder is not None and words is not None and not torch.equal(decoder, words):
        report.wrong_shape.append(
            "cls.predictions.decoder.weight: differs from the word embedding, but here they are one"
        )
