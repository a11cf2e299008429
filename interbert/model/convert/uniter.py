"""UNITER's pretrained weights.

Its model of a pair is ours exactly: one stream, features and boxes normed apart, BERT's pooler. Its seven numbers of
a box are our five, for width and height follow from the corners. What it adds to masked regions has no place here.
"""

from typing import Any

import torch
from torch import Tensor

from interbert.model.convert.parts import (
    Part,
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

IMAGE = "uniter.img_embeddings"
WORDS, TYPES = (f"uniter.embeddings.{name}_embeddings.weight" for name in ("word", "token_type"))
SET_ASIDE = (f"{IMAGE}.mask_embedding",)
HEADS = {
    "tokens": "cls.predictions.bias",
    "regions": "region_classifier.net.3.weight",
    "features": "feat_regress.bias",
    "match": "itm_output.weight",
}
"""A key of each head, which tells that it is there."""
IMAGE_TYPE = 1


def convert_uniter(
    weights: dict[str, Tensor], config: dict[str, Any], source: str = "weights"
) -> tuple[InterBertForPreTraining, Report]:
    """config: the JSON that lies beside the weights."""
    weights = plain_names(weights, {"bert.": "uniter."})
    report = Report(source)
    regression = weights.get("feat_regress.weight")
    take_copies(
        weights,
        {"cls.predictions.decoder.weight": WORDS, "feat_regress.weight": f"{IMAGE}.img_linear.weight"},
        report,
    )
    model = InterBertForPreTraining.from_seed(_configuration(weights, config), 0)
    if "features" in model.heads and regression is None:
        report.missing.append("feat_regress.weight")
    transfer(model, weights, _parts(model), report, SET_ASIDE)
    report.check()
    return model.eval(), report


def _configuration(weights: dict[str, Tensor], config: dict[str, Any]) -> InterBertConfig:
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    absent = [name for name in sizes if name not in config]
    absent += [name for name in (f"{IMAGE}.img_linear.weight",) if name not in weights]
    if absent:
        raise WeightsError(
            f"{', '.join(absent)} is missing: give UNITER's weights, and the JSON that belongs to them"
        )
    if config.get("hidden_act", "gelu") != "gelu":
        raise WeightsError(f"hidden_act is {config['hidden_act']!r}, and ours is gelu")
    dropout, of_attention = (
        config.get(f"{name}_dropout_prob", 0.1) for name in ("hidden", "attention_probs")
    )
    stage = Stage(
        "joint",
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["intermediate_size"],
        dropout,
        of_attention,
    )
    regions = weights.get(HEADS["regions"])
    return InterBertConfig(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        max_position_embeddings=config.get("max_position_embeddings", 512),
        type_vocab_size=config.get("type_vocab_size", 2),
        feature_width=weights[f"{IMAGE}.img_linear.weight"].shape[1],
        classes=1601 if regions is None else len(regions),
        pooler_size=config["hidden_size"],
        stages=[vars(stage)],
        global_token="none",
        visual_place=True,
        image_norm="parts",
        match_head="pooled",
        prediction_heads=[name for name, key in HEADS.items() if key in weights],
        embedding_dropout=dropout,
        pooled_dropout=dropout,
        initializer_range=config.get("initializer_range", 0.02),
    )


def _parts(model: InterBertForPreTraining) -> list[Part]:
    ours = "interbert.image_embeddings"
    found = text_embeddings("interbert.text_embeddings", "uniter.embeddings")
    found += pair(f"{ours}.features", f"{IMAGE}.img_linear")
    found += [
        Part(f"{ours}.boxes.weight", (f"{IMAGE}.pos_linear.weight",), five_of_seven),
        Part(f"{ours}.boxes.bias", (f"{IMAGE}.pos_linear.bias",)),
        Part(f"{ours}.places.weight", (TYPES,), as_place),
    ]
    for norm, theirs in {
        "features_norm": "img_layer_norm",
        "boxes_norm": "pos_layer_norm",
        "norm": "LayerNorm",
    }.items():
        found += pair(f"{ours}.{norm}", f"{IMAGE}.{theirs}")
    for n in range(model.config.encoder_stages[0].layers):
        found += layer(f"interbert.stages.0.{n}", f"uniter.encoder.layer.{n}")
    found += pair("interbert.text_pooler.dense", "uniter.pooler.dense")
    if "tokens" in model.heads:
        found += word_head("heads.tokens", "cls.predictions")
    for head, theirs in {"regions": "region_classifier", "features": "feat_regress"}.items():
        if head in model.heads:
            found += pair(f"heads.{head}.transform.dense", f"{theirs}.net.0")
            found += pair(f"heads.{head}.transform.norm", f"{theirs}.net.2")
    if "regions" in model.heads:
        found += pair("heads.regions.decoder", "region_classifier.net.3")
    if "features" in model.heads:
        # There the embedding's own matrix, turned; here one of its own, with the same numbers.
        found.append(Part("heads.features.decoder.weight", (f"{IMAGE}.img_linear.weight",), torch.t))
        found.append(Part("heads.features.decoder.bias", ("feat_regress.bias",)))
    if "match" in model.heads:
        # Their class 1 is a match, ours 0.
        found += [
            Part(f"heads.match.classifier.{kind}", (f"itm_output.{kind}",), lambda x: x.flip(0))
            for kind in ("weight", "bias")
        ]
    return found


def five_of_seven(weight_H7: Tensor) -> Tensor:
    """x1, y1, x2, y2, width, height, area: width is x2 - x1, height y2 - y1."""
    corners_H4, extent_H2 = weight_H7[:, :4], weight_H7[:, 4:6]
    return torch.cat([corners_H4 + torch.cat([-extent_H2, extent_H2], 1), weight_H7[:, 6:]], 1)


def as_place(types_TH: Tensor) -> Tensor:
    """The words' embedding of the image's type, as segment of all image tokens; and no position."""
    return torch.stack([types_TH[IMAGE_TYPE], torch.zeros_like(types_TH[0])])
