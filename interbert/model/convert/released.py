"""The weights that InterBERT's authors released, in their own keys."""

from typing import Any

import torch
from torch import Tensor

from interbert.model.convert.parts import (
    Part,
    give_back,
    layer,
    pair,
    poolers_and_heads,
    text_embeddings,
    transfer,
)
from interbert.model.convert.report import Report, WeightsError
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.released_tasks import InterBertForTasks
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import Stage

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "v_feature_size",
)
DEFAULTS = {
    "t_num_hidden_layers": 6,
    "v_num_hidden_layers": 6,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "v_target_size": 1601,
    "bi_hidden_size": 1024,
    "fusion_method": "mul",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "v_hidden_dropout_prob": 0.2,
    "v_attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
DECODER = "cls.predictions.decoder.weight"
WORDS = "bert.embeddings.word_embeddings.weight"
TASKS = {
    "answers": "vil_prediction",
    "score": "vil_logit",
    "regions_score": "vision_logit",
    "words_score": "linguisic_logit",
}


def load_released(state_dict: dict[str, Tensor], config: dict[str, Any]) -> InterBertForPreTraining:
    """The released pretraining model."""
    return convert_released(state_dict, config, tasks=False)[0]


def load_released_tasks(state_dict: dict[str, Tensor], config: dict[str, Any]) -> InterBertForTasks:
    """The released model with task heads; the number of answers is that of the weights."""
    model, _ = convert_released(state_dict, config, tasks=True)
    assert isinstance(model, InterBertForTasks)
    return model


def convert_released(
    state_dict: dict[str, Tensor],
    config: dict[str, Any],
    tasks: bool | None = None,
    allow_missing: tuple[str, ...] = (),
    source: str = "weights",
) -> tuple[InterBertForPreTraining, Report]:
    """With or without task heads (None: as the weights have them). `allow_missing` names heads, or prefixes of our
    parameters, that may stay random."""
    weights = {name.removeprefix("module."): value for name, value in state_dict.items()}
    has_tasks = "vil_prediction.weight" in weights
    if has_tasks if tasks is None else tasks:
        answers = weights["vil_prediction.weight"].shape[0] if has_tasks else 2
        model = InterBertForTasks.from_seed(configuration(config, num_labels=answers), 0)
    else:
        model = InterBertForPreTraining.from_seed(configuration(config), 0)
    report = Report(source)
    decoder = weights.pop(DECODER, None)
    may_miss = tuple(p for name in allow_missing for p in (name, f"heads.{name}", f"tasks.{name}"))
    transfer(model, weights, parts(model), report, allow_missing=may_miss)
    if decoder is not None:
        _check_tied(decoder, weights.get(WORDS), report)
    report.check()
    return model.eval(), report


def export_released(model: InterBertForPreTraining) -> dict[str, Tensor]:
    """The model's weights in the released code's keys."""
    weights = give_back(model, parts(model))
    if "tokens" in model.heads:
        weights[DECODER] = weights[WORDS].clone()
    return weights


def configuration(config: dict[str, Any], **more: Any) -> InterBertConfig:
    """Our configuration of their `config` (the JSON that lies beside their weights)."""
    absent = [name for name in SIZES if name not in config]
    if absent:
        raise WeightsError(
            f"the configuration lacks {', '.join(absent)}: give the JSON that belongs to the weights"
        )
    theirs: dict[str, Any] = {
        **DEFAULTS,
        "v_num_attention_heads": 8,
        "v_intermediate_size": config["intermediate_size"],
        **config,
    }
    width = theirs["hidden_size"]
    if theirs.get("v_hidden_size", width) != width:
        raise WeightsError(
            f"v_hidden_size is {theirs['v_hidden_size']}, hidden_size {width}: streams of two widths cannot be "
            "joined; correct the configuration"
        )
    text: dict[str, Any] = {
        "heads": theirs["num_attention_heads"],
        "intermediate_size": theirs["intermediate_size"],
        "hidden_dropout": theirs["hidden_dropout_prob"],
        "attention_dropout": theirs["attention_probs_dropout_prob"],
    }
    image: dict[str, Any] = {
        "heads": theirs["v_num_attention_heads"],
        "intermediate_size": theirs["v_intermediate_size"],
        "hidden_dropout": theirs["v_hidden_dropout_prob"],
        "attention_dropout": theirs["v_attention_probs_dropout_prob"],
    }
    stages = [
        Stage("joint", theirs["num_hidden_layers"], **text),
        Stage("text", theirs["t_num_hidden_layers"], **text),
        Stage("image", theirs["v_num_hidden_layers"], **image),
    ]
    return InterBertConfig(
        vocab_size=theirs["vocab_size"],
        hidden_size=width,
        max_position_embeddings=theirs["max_position_embeddings"],
        type_vocab_size=theirs["type_vocab_size"],
        feature_width=theirs["v_feature_size"],
        classes=theirs["v_target_size"],
        pooler_size=theirs["bi_hidden_size"],
        fusion=theirs["fusion_method"],
        stages=[vars(stage) for stage in stages],
        embedding_dropout=theirs["hidden_dropout_prob"],
        initializer_range=theirs["initializer_range"],
        **more,
    )


def parts(model: InterBertForPreTraining) -> list[Part]:
    """Their keys for each of our parameters."""
    found = text_embeddings("interbert.text_embeddings", "bert.embeddings")
    image = "interbert.image_embeddings"
    found += pair(f"{image}.features", "bert.v_embeddings.image_embeddings")
    found += pair(f"{image}.boxes", "bert.v_embeddings.image_location_embeddings")
    found += pair(f"{image}.norm", "bert.v_embeddings.LayerNorm")
    number = {"layer": 0, "v_layer": 0}  # text layers go on counting where the joint ones end
    for s, stage in enumerate(model.config.encoder_stages):
        kind = "v_layer" if stage.kind == "image" else "layer"
        for n in range(stage.layers):
            found += layer(f"interbert.stages.{s}.{n}", f"bert.encoder.{kind}.{number[kind]}")
            number[kind] += 1
    found += poolers_and_heads(model.heads, "decoder")
    if isinstance(model, InterBertForTasks):
        for name, theirs in TASKS.items():
            found += pair(f"tasks.{name}", theirs)
    return found


def _check_tied(decoder: Tensor, words: Tensor | None, report: Report) -> None:
    if words is not None and decoder.shape == words.shape and torch.equal(decoder, words):
        report.used.append(DECODER)
    else:
        report.wrong_shape.append(f"{DECODER}: differs from {WORDS}, but here they are one matrix")
