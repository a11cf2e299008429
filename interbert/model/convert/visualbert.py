"""transformers' VisualBERT, both ways.

What has no counterpart: VisualBERT has one LayerNorm for words and regions, no boxes and no head for regions. Boxes
travel as five more columns of its features; one logit of a match as a pooled number so small that its tanh is itself.
"""

from typing import Any

import torch
from torch import Tensor

from interbert.model.convert.parts import (
    Part,
    give_back,
    layer,
    pair,
    plain_names,
    take_copies,
    text_embeddings,
    transfer,
    word_head,
)
from interbert.model.convert.report import Report, WeightsError
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import Stage

ROOM = "visual_bert.embeddings"
TYPE, POSITION, FEATURES = (
    f"{ROOM}.visual_{name}" for name in ("token_type_embeddings", "position_embeddings", "projection")
)
POOLER, MATCH = "visual_bert.pooler.dense", "cls.seq_relationship"
WORDS, DECODER = f"{ROOM}.word_embeddings.weight", "cls.predictions.decoder"
SMALL = 2.0**-10
"""tanh(x SMALL) / SMALL is x to 3e-7 of x^3; a power of two, so that going there and back changes no number."""
IMAGE_TYPE = 1
"""The token type that transformers gives regions."""
KINDS = ("weight", "bias")
OURS = "interbert"
"""Where in their config.json we note what of ours the weights hold."""


def convert_visualbert(
    weights: dict[str, Tensor], config: dict[str, Any], source: str = "weights"
) -> tuple[InterBertForPreTraining, Report]:
    """Of the weights of a `VisualBertForPreTraining`, and its config.json."""
    weights = plain_names(weights)
    noted = config.get(OURS, {})
    one_logit = noted.get("match_head") == "cls"
    report = Report(source)
    copies = {f"{DECODER}.weight": WORDS, f"{DECODER}.bias": "cls.predictions.bias"}
    take_copies(weights, copies, report)
    boxes = noted.get("box_columns", 0)
    model = InterBertForPreTraining.from_seed(_configuration(config, boxes, one_logit), 0)
    transfer(model, weights, _parts(model, boxes), report, set_aside=(f"{ROOM}.position_ids",))
    report.check()
    return model.eval(), report


def _configuration(theirs: dict[str, Any], boxes: int, one_logit: bool) -> InterBertConfig:
    if theirs.get("model_type") != "visual_bert":
        raise WeightsError(f"a {theirs.get('model_type') or 'model of no type'}, not a visual_bert")
    if theirs.get("bypass_transformer"):
        raise WeightsError(
            "bypass_transformer is set: regions that skip all layers but one have no place here"
        )
    if theirs.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"hidden_act is {theirs['hidden_act']!r}, and ours is gelu")
    from transformers import VisualBertConfig

    full = VisualBertConfig.from_dict(theirs)
    stage = Stage(
        "joint",
        full.num_hidden_layers,
        full.num_attention_heads,
        full.intermediate_size,
        full.hidden_dropout_prob,
        full.attention_probs_dropout_prob,
    )
    return InterBertConfig(
        vocab_size=full.vocab_size,
        hidden_size=full.hidden_size,
        max_position_embeddings=full.max_position_embeddings,
        type_vocab_size=full.type_vocab_size,
        feature_width=full.visual_embedding_dim - boxes,
        pooler_size=full.hidden_size,
        stages=[vars(stage)],
        global_token="none",
        visual_place=True,
        image_norm="text",
        match_head="cls" if one_logit else "pooled",
        prediction_heads=["tokens", "match"],
        embedding_dropout=full.hidden_dropout_prob,
        pooled_dropout=full.hidden_dropout_prob,
        layer_norm_eps=full.layer_norm_eps,
        initializer_range=full.initializer_range,
    )


def _parts(model: InterBertForPreTraining, boxes: int) -> list[Part]:
    hidden, image = model.config.hidden_size, "interbert.image_embeddings"
    width = model.config.feature_width
    found = text_embeddings("interbert.text_embeddings", ROOM)
    found += [
        Part(f"{image}.features.weight", (f"{FEATURES}.weight",), lambda w: w[:, :width]),
        Part(f"{image}.features.bias", (f"{FEATURES}.bias",)),
        Part(f"{image}.boxes.bias", (), lambda: torch.zeros(hidden)),
        Part(
            f"{image}.places.weight",
            (f"{TYPE}.weight", f"{POSITION}.weight"),
            lambda types, positions: torch.stack([types[IMAGE_TYPE], positions[0]]),
        ),
    ]
    if boxes:
        found.append(Part(f"{image}.boxes.weight", (f"{FEATURES}.weight",), lambda w: w[:, width:]))
    else:
        found.append(Part(f"{image}.boxes.weight", (), lambda: torch.zeros(hidden, 5)))
    for n in range(model.config.encoder_stages[0].layers):
        found += layer(f"interbert.stages.0.{n}", f"visual_bert.encoder.layer.{n}")
    found += word_head("heads.tokens", "cls.predictions")
    if model.config.match_head == "pooled":
        return [*found, *pair("interbert.text_pooler.dense", POOLER), *pair("heads.match.classifier", MATCH)]
    ours = "heads.match.classifier"
    return [
        *found,
        Part(f"{ours}.weight", (f"{POOLER}.weight", f"{MATCH}.weight"), lambda w, _: w[:1] / SMALL),
        Part(f"{ours}.bias", (f"{POOLER}.bias", f"{MATCH}.bias"), lambda b, _: b[:1] / SMALL),
    ]


@torch.no_grad()
def export_visualbert(
    model: InterBertForPreTraining, inexact: bool = False
) -> tuple[dict[str, Any], dict[str, Tensor], list[str]]:
    """Their configuration, their weights, and what is not as it was. inexact: a model whose regions have a LayerNorm
    of their own goes too; its regions then get that of the words."""
    config = model.config
    notes = _notes(model, inexact)
    weights = give_back(model, _theirs(model))
    embeddings, hidden = model.interbert.image_embeddings, config.hidden_size
    with_boxes = bool(embeddings.boxes.weight.any())
    columns = [embeddings.features.weight, *([embeddings.boxes.weight] if with_boxes else [])]
    weights[f"{FEATURES}.weight"] = torch.cat(columns, 1)
    weights[f"{FEATURES}.bias"] = embeddings.features.bias + embeddings.boxes.bias
    weights[f"{TYPE}.weight"] = torch.zeros(config.type_vocab_size, hidden)
    weights[f"{POSITION}.weight"] = torch.zeros(config.max_position_embeddings, hidden)
    if embeddings.places is not None:
        weights[f"{TYPE}.weight"][IMAGE_TYPE], weights[f"{POSITION}.weight"][0] = embeddings.places.weight
    weights |= _match(model)
    weights[f"{DECODER}.weight"], weights[f"{DECODER}.bias"] = weights[WORDS], weights["cls.predictions.bias"]
    (stage,) = config.encoder_stages
    theirs = {
        "architectures": ["VisualBertForPreTraining"],
        "model_type": "visual_bert",
        "vocab_size": config.vocab_size,
        "hidden_size": hidden,
        "visual_embedding_dim": weights[f"{FEATURES}.weight"].shape[1],
        "num_hidden_layers": stage.layers,
        "num_attention_heads": stage.heads,
        "intermediate_size": stage.intermediate_size,
        "hidden_act": "gelu",
        "hidden_dropout_prob": stage.hidden_dropout,
        "attention_probs_dropout_prob": stage.attention_dropout,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "initializer_range": config.initializer_range,
        "layer_norm_eps": config.layer_norm_eps,
        "tie_word_embeddings": True,
        OURS: {"box_columns": 5 if with_boxes else 0, "match_head": config.match_head},
    }
    if with_boxes:
        notes.append(
            f"visual_embeds are {columns[0].shape[1]} features and 5 numbers of the box, side by side "
            "(x1/W, y1/H, x2/W, y2/H, share of the area)"
        )
    return theirs, {name: value.detach().clone().contiguous() for name, value in weights.items()}, notes


def _theirs(model: InterBertForPreTraining) -> list[Part]:
    found = text_embeddings("interbert.text_embeddings", ROOM)
    for n in range(model.config.encoder_stages[0].layers):
        found += layer(f"interbert.stages.0.{n}", f"visual_bert.encoder.layer.{n}")
    return found + word_head("heads.tokens", "cls.predictions")


def _match(model: InterBertForPreTraining) -> dict[str, Tensor]:
    hidden, own = model.config.hidden_size, dict(model.named_parameters())
    found = {f"{POOLER}.weight": torch.zeros(hidden, hidden), f"{POOLER}.bias": torch.zeros(hidden)}
    found |= {f"{MATCH}.weight": torch.zeros(2, hidden), f"{MATCH}.bias": torch.zeros(2)}
    if model.config.match_head == "pooled":
        found |= {f"{POOLER}.{kind}": own[f"interbert.text_pooler.dense.{kind}"] for kind in KINDS}
    if "match" not in model.heads:
        return found
    head = {kind: own[f"heads.match.classifier.{kind}"] for kind in KINDS}
    if model.config.match_head == "pooled":
        return found | {f"{MATCH}.{kind}": head[kind] for kind in KINDS}
    for kind in KINDS:
        found[f"{POOLER}.{kind}"][0] = SMALL * head[kind][0]
    found[f"{MATCH}.weight"][0, 0] = 1 / SMALL
    return found


def _notes(model: InterBertForPreTraining, inexact: bool) -> list[str]:
    """What is not as it was; WeightsError where it would be another model."""
    config, notes = model.config, []
    kinds = [stage.kind for stage in config.encoder_stages]
    wrong = {
        f"its stages are {', '.join(kinds)}, VisualBERT's are one, joint": kinds != ["joint"],
        "its words see the whole image (words_see_image)": config.words_see_image,
        "its match head reads a pooled vector of the image (match_head 'fused')": config.match_head
        == "fused",
        "it has no word head (tokens in prediction_heads)": "tokens" not in model.heads,
        "features and boxes are normed apart (image_norm 'parts')": config.image_norm == "parts",
        f"pooler_size is {config.pooler_size}, VisualBERT's is hidden_size": config.match_head == "pooled"
        and config.pooler_size != config.hidden_size,
        "type_vocab_size is 1, and regions are of type 1": config.type_vocab_size < 2,
    }
    for fault, holds in wrong.items():
        if holds:
            raise WeightsError(f"this model cannot become a VisualBERT: {fault}")
    if config.image_norm == "own":
        own = dict(model.named_parameters())
        names = "interbert.text_embeddings.norm", "interbert.image_embeddings.norm"
        alike = all(torch.equal(*(own[f"{name}.{kind}"] for name in names)) for kind in KINDS)
        if not (alike or inexact):
            raise WeightsError(
                "regions have a LayerNorm of their own here (image_norm 'own'), in VisualBERT that of the words: its "
                "outputs would be others; train with --set model.override.image_norm=text (as the recipe "
                "visualbert_base does), or give --inexact to start something new from these weights"
            )
        if not alike:
            notes.append("not exact: the LayerNorm of regions is left out, they get that of the words")
    if config.global_token != "none":
        notes.append("the mean of all regions (box 0 0 1 1 1) is to be put before the first region")
    left = sorted({"regions", "features"} & set(model.heads)) + (["task"] if config.task else [])
    if left:
        notes.append(f"left out, VisualBERT has no such heads: {', '.join(left)}")
    if "match" not in model.heads:
        notes.append("without a match head: seq_relationship says nothing (zeros)")
    return notes
