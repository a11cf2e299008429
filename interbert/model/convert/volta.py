"""VOLTA's controlled models, so far as ours has their parts: VisualBERT, UNITER and ViLBERT.

VOLTA counts sublayers, attention and feed-forward in turn, and its configuration says which streams each serves; that
is read as our stages. Its LXMERT (three sublayers a layer, no LayerNorm of the sum) and VL-BERT (waves of the box's
numbers, positions behind the text) have parts that ours has not.
"""

from typing import Any

import torch
from torch import Tensor

from interbert.model.convert.parts import (
    Part,
    pair,
    plain_names,
    poolers_and_heads,
    take_copies,
    text_embeddings,
    transfer,
)
from interbert.model.convert.report import Report, WeightsError
from interbert.model.convert.uniter import IMAGE_TYPE, as_place
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import Stage

WORDS = "bert.embeddings.word_embeddings.weight"
NORMS = {"visualbert": "text", "uniter": "parts", "vilbert": "own"}
"""Their image_embeddings -> our image_norm."""
GLOBAL_TOKENS = {"first": "after_masking", None: "none"}
HEADS = {
    "tokens": "cls.predictions.bias",
    "regions": "cls.imagePredictions.decoder_dict.0.weight",
    "match": "cls.bi_seq_relationship.weight",
}
SET_ASIDE = ("clfs_dict", "cls.imagePredictions.decoder_dict", "cls.qaPredictions")
Sublayer = tuple[str, int]
"""Kind of our stage, and the number of its attention."""


def convert_volta(
    weights: dict[str, Tensor], config: dict[str, Any], source: str = "weights"
) -> tuple[InterBertForPreTraining, Report]:
    """config: the JSON that they were trained with, such as ctrl_uniter_base.json."""
    weights, report = plain_names(weights), Report(source)
    sublayers = _sublayers(config)
    model = InterBertForPreTraining.from_seed(_configuration(weights, config, sublayers), 0)
    copies = {
        "cls.predictions.decoder.weight": WORDS,
        "bert.embeddings.image_token_type_embeddings.weight": "bert.embeddings.token_type_embeddings.weight",
    }
    for name in weights:
        plain = name.replace(".v_", ".")
        if name.startswith("bert.encoder.layer.") and plain != name and _shared(name, config):
            copies[name] = plain
    take_copies(weights, copies, report)
    transfer(model, weights, _parts(model, config, sublayers), report, SET_ASIDE)
    report.check()
    return model.eval(), report


def _shared(name: str, config: dict[str, Any]) -> bool:
    return int(name.split(".")[3]) in config["shared_sublayers"]


def _configuration(
    weights: dict[str, Tensor], config: dict[str, Any], sublayers: list[Sublayer]
) -> InterBertConfig:
    kind = config["image_embeddings"]
    _refuse_others(config)
    hidden, regions = config["hidden_size"], weights.get(HEADS["regions"])
    text = {
        "heads": config["num_attention_heads"],
        "intermediate_size": config["intermediate_size"],
        "hidden_dropout": config["hidden_dropout_prob"],
        "attention_dropout": config["attention_probs_dropout_prob"],
    }
    image = {
        "heads": config["v_num_attention_heads"],
        "intermediate_size": config["v_intermediate_size"],
        "hidden_dropout": config["v_hidden_dropout_prob"],
        "attention_dropout": config["v_attention_probs_dropout_prob"],
    }
    if text != image and any(name in ("joint", "cross") for name, _ in sublayers):
        raise WeightsError(
            f"layers of both streams are {text} for words and {image} for regions: they must be alike"
        )
    return InterBertConfig(
        vocab_size=config["vocab_size"],
        hidden_size=hidden,
        max_position_embeddings=config["max_position_embeddings"],
        type_vocab_size=config["type_vocab_size"],
        feature_width=config["v_feature_size"],
        classes=1601 if regions is None else len(regions),
        pooler_size=config["pooler_size"],
        fusion=config["fusion_method"],
        global_token=GLOBAL_TOKENS[config.get("add_global_imgfeat")],
        visual_place=kind in ("visualbert", "uniter"),
        image_norm=NORMS[kind],
        stages=[
            vars(Stage(name, layers, **(image if name == "image" else text)))
            for name, layers in _runs(sublayers)
        ],
        prediction_heads=[name for name, key in HEADS.items() if key in weights],
        embedding_dropout=config["hidden_dropout_prob"],
        layer_norm_eps=config.get("layer_norm_eps", 1e-12),
        initializer_range=config["initializer_range"],
    )


def _refuse_others(config: dict[str, Any]) -> None:
    kind = config["image_embeddings"]
    wrong = {
        f"image_embeddings is {kind!r}; {', '.join(NORMS)} are read": kind not in NORMS,
        f"bert_model is {config.get('bert_model')!r}, and positions are counted as BERT does": "roberta"
        in str(config.get("bert_model")),
        f"num_locs is {config.get('num_locs')}, and ours is 5": config.get("num_locs", 5) != 5,
        f"fusion_method is {config['fusion_method']!r}, ours are mul and sum": config["fusion_method"]
        not in ("mul", "sum"),
        f"add_global_imgfeat is {config.get('add_global_imgfeat')!r}; first or none is read": config.get(
            "add_global_imgfeat"
        )
        not in GLOBAL_TOKENS,
        "its streams differ in width": config["v_hidden_size"] != config["hidden_size"]
        or config["v_pooler_size"] != config["pooler_size"],
        "hidden_act is not gelu": {config["hidden_act"], config["v_hidden_act"]} != {"gelu"},
        "image_head_ln is false": not config.get("image_head_ln", True),
        "some sublayers have sizes of their own": any(
            value for name, value in config.items() if name.startswith("sublayer2")
        ),
    }
    for fault, holds in wrong.items():
        if holds:
            raise WeightsError(f"this model of VOLTA has no counterpart here: {fault}")


def _sublayers(config: dict[str, Any]) -> list[Sublayer]:
    """What each attention and the feed-forward behind it are here; where each stream has its own, words first."""
    serving = {
        name: set(config[f"{name}_sublayers"])
        for name in ("tt_attn", "tv_attn", "vt_attn", "vv_attn", "t_ff", "v_ff", "shared")
    }
    count = 1 + max(serving["t_ff"] | serving["v_ff"])
    kinds = {
        ("tt_attn", "tv_attn", "vt_attn", "vv_attn", "t_ff", "v_ff", "shared"): ["joint"],
        ("tv_attn", "vt_attn", "t_ff", "v_ff"): ["cross"],
        ("tt_attn", "vv_attn", "t_ff", "v_ff"): ["text", "image"],
        ("tt_attn", "t_ff"): ["text"],
        ("vv_attn", "v_ff"): ["image"],
    }
    found: list[Sublayer] = []
    for number in range(0, count, 2):
        own = tuple(name for name, of in serving.items() if number + name.endswith("ff") in of)
        if own not in kinds or ("shared" in own) != (number + 1 in serving["shared"]):
            raise WeightsError(
                f"this model of VOLTA has no counterpart here: sublayers {number} and {number + 1} are "
                f"{', '.join(own) or 'nothing'}"
            )
        found += [(kind, number) for kind in kinds[own]]
    return found


def _runs(sublayers: list[Sublayer]) -> list[tuple[str, int]]:
    """Kind and number of layers of each stage."""
    runs: list[tuple[str, int]] = []
    for kind, _ in sublayers:
        if runs and runs[-1][0] == kind:
            runs[-1] = kind, runs[-1][1] + 1
        else:
            runs.append((kind, 1))
    return runs


def _parts(model: InterBertForPreTraining, config: dict[str, Any], sublayers: list[Sublayer]) -> list[Part]:
    found = text_embeddings("interbert.text_embeddings", "bert.embeddings")
    found += _image_embeddings(config["image_embeddings"], config["hidden_size"])
    places = [(s, n) for s, stage in enumerate(model.config.encoder_stages) for n in range(stage.layers)]
    for (s, n), (kind, number) in zip(places, sublayers, strict=True):
        ours = f"interbert.stages.{s}.{n}"
        if kind == "cross":
            found += _layer(f"{ours}.text", number, "") + _layer(f"{ours}.image", number, "v_")
        else:
            found += _layer(ours, number, "v_" if kind == "image" else "")
    return found + poolers_and_heads(model.heads, "decoder_dict.0")


def _layer(ours: str, number: int, stream: str) -> list[Part]:
    attention, forward = (f"bert.encoder.layer.{n}" for n in (number, number + 1))
    asked = [f"{attention}.attention_self.{stream}{name}" for name in ("query", "key", "value")]
    return [
        *pair(f"{ours}.qkv", *asked),
        *pair(f"{ours}.out", f"{attention}.attention_output.{stream}dense"),
        *pair(f"{ours}.attention_norm", f"{attention}.attention_output.{stream}LayerNorm"),
        *pair(f"{ours}.up", f"{forward}.intermediate.{stream}dense"),
        *pair(f"{ours}.down", f"{forward}.output.{stream}dense"),
        *pair(f"{ours}.norm", f"{forward}.output.{stream}LayerNorm"),
    ]


def _image_embeddings(kind: str, hidden: int) -> list[Part]:
    ours, theirs = "interbert.image_embeddings", "bert.embeddings"
    if kind == "visualbert":
        types, positions = (
            f"{theirs}.{name}_embeddings_visual.weight" for name in ("token_type", "position")
        )
        return [
            *pair(f"{ours}.features", f"{theirs}.projection"),
            Part(f"{ours}.boxes.weight", (), lambda: torch.zeros(hidden, 5)),
            Part(f"{ours}.boxes.bias", (), lambda: torch.zeros(hidden)),
            Part(
                f"{ours}.places.weight",
                (types, positions),
                lambda types, positions: torch.stack([types[IMAGE_TYPE], positions[0]]),
            ),
        ]
    if kind == "vilbert":
        theirs = "bert.v_embeddings"
        norms = {"norm": "LayerNorm"}
    else:
        norms = {
            "features_norm": "image_layer_norm",
            "boxes_norm": "image_location_layer_norm",
            "norm": "v_LayerNorm",
        }
    found = pair(f"{ours}.features", f"{theirs}.image_embeddings")
    found += pair(f"{ours}.boxes", f"{theirs}.image_location_embeddings")
    for norm, name in norms.items():
        found += pair(f"{ours}.{norm}", f"{theirs}.{name}")
    if kind == "uniter":
        found.append(Part(f"{ours}.places.weight", (f"{theirs}.token_type_embeddings.weight",), as_place))
    return found
