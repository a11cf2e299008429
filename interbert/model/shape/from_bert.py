"""The shape of a model that starts from BERT: BERT's sizes, half its layers joint and half text."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interbert.files import read_json
from interbert.model.shape.shape import ConfigurationError
from interbert.model.shape.shape import preset as preset_fields


@dataclass(frozen=True)
class BertSizes:
    """What is read of a BERT's config.json; a field that is not there is BERT-base's."""

    model_type: str = ""
    hidden_act: str = "gelu"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12


def read_sizes(folder: Path) -> BertSizes:
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{folder}: no config.json; give a local Hugging Face directory of a BERT")
    tree = read_json(folder / "config.json")
    theirs = BertSizes(**{f.name: tree[f.name] for f in fields(BertSizes) if f.name in tree})
    if theirs.model_type != "bert":
        raise ConfigurationError(f"{folder}: a {theirs.model_type or 'model of no type'}, not a bert")
    if theirs.hidden_act != "gelu":
        raise ConfigurationError(f"{folder}: hidden_act is {theirs.hidden_act!r}, and ours is gelu")
    return theirs


def fields_from_bert(theirs: BertSizes, where: str, preset: str, **wanted: Any) -> dict[str, Any]:
    """Fields of our configuration: what BERT does not decide is the preset's, or given in `wanted`."""
    layers, width = theirs.num_hidden_layers, theirs.hidden_size
    if layers % 2:
        raise ConfigurationError(
            f"{where}: {layers} layers do not divide into a joint and a text half; take an even number"
        )
    rest = {**preset_fields(preset), **wanted}
    image = [stage for stage in rest.pop("stages") if stage["kind"] == "image"]
    for stage in image:
        if width % stage["heads"]:
            raise ConfigurationError(
                f"{where}: hidden_size {width} does not divide into the {stage['heads']} heads of the image layers; "
                "give the image stage another number of heads (model.override.stages)"
            )
    for name in ("vocab_size", "hidden_size"):
        if wanted.get(name, getattr(theirs, name)) != getattr(theirs, name):
            raise ConfigurationError(
                f"{where}: its {name} is {getattr(theirs, name)}, but {wanted[name]} is asked for; leave it out, "
                "or take the BERT that belongs to the tokenizer"
            )
    own = {
        "heads": theirs.num_attention_heads,
        "intermediate_size": theirs.intermediate_size,
        "hidden_dropout": theirs.hidden_dropout_prob,
        "attention_dropout": theirs.attention_probs_dropout_prob,
    }
    halves = [{"kind": kind, "layers": layers // 2, **own} for kind in ("joint", "text")]
    return rest | {
        "vocab_size": theirs.vocab_size,
        "hidden_size": width,
        "max_position_embeddings": theirs.max_position_embeddings,
        "type_vocab_size": theirs.type_vocab_size,
        "layer_norm_eps": theirs.layer_norm_eps,
        "initializer_range": theirs.initializer_range,
        "stages": [*halves, *image],
    }
