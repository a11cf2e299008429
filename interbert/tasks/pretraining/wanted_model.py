"""The shape of the model that settings and data ask for; what cannot be is refused here, before anything is built."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.config import Settings, SettingsError
from interbert.files import read_json
from interbert.hub import local_folder
from interbert.model.shape.from_bert import fields_from_bert, read_sizes
from interbert.model.shape.heads_needed import needs, wanted_heads
from interbert.model.shape.shape import Shape

if TYPE_CHECKING:
    from interbert.corpus.corpus import Corpus
    from interbert.tokenizer import Tokenizer


def wanted_shape(settings: Settings, corpus: Corpus | None, tokenizer: Tokenizer) -> Shape:
    """Of the model that `build_model` would build. corpus: None where a task is of text alone."""
    wanted = settings.model
    if wanted.inherit_from:
        shape = shape_in(Path(wanted.inherit_from))
        check_inherited(shape, settings, corpus, tokenizer)
        return shape
    asked = wanted_fields(settings, corpus, tokenizer)
    if wanted.bert:
        folder = local_folder(wanted.bert)
        shape = Shape(**fields_from_bert(read_sizes(folder), str(folder), wanted.preset, **asked))
        check_positions(shape, settings, wanted.bert)
        return shape
    return Shape.from_preset(wanted.preset, wanted.architecture, **asked)


def wanted_fields(settings: Settings, corpus: Corpus | None, tokenizer: Tokenizer) -> dict[str, Any]:
    """Fields of the configuration besides the preset's, for a model that is not inherited. Where there are no images,
    what they would be like is left as it usually is, so that the model may see some one day."""
    wanted = settings.model
    of_images = (
        {"feature_width": corpus.feature_width, "classes": corpus.classes} if corpus is not None else {}
    )
    asked = {"vocab_size": tokenizer.vocab_size, **of_images, **wanted.override}
    asked.setdefault("prediction_heads", wanted_heads(wanted, settings.objectives))
    if wanted.bert:
        if wanted.architecture != "interbert":
            raise SettingsError(
                f"model.bert fills an interbert, but model.architecture is {wanted.architecture}; leave one out"
            )
        return asked
    return {"max_position_embeddings": max(512, settings.data.max_text_tokens), **asked}


def check_inherited(shape: Shape, settings: Settings, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """Whether the model of `model.inherit_from` fits data, tokenizer and objectives."""
    where = settings.model.inherit_from
    check_sizes(shape, settings, corpus.feature_width, tokenizer)
    heads = needs(settings.objectives)
    if "regions" in heads:
        _must_fit(where, "classes", shape.classes, corpus.classes)
    lacking = sorted(heads - set(shape.prediction_heads))
    if lacking:
        raise SettingsError(
            f"{where}: the model has no head {', '.join(lacking)}, which the objectives "
            f"{', '.join(settings.objectives)} need; take other objectives or other weights"
        )


def check_sizes(shape: Shape, settings: Settings, feature_width: int | None, tokenizer: Tokenizer) -> None:
    """Whether it fits data and tokenizer. feature_width: None where there are no images."""
    where = settings.model.inherit_from
    if settings.model.override:
        raise SettingsError(
            f"model.inherit_from takes the model of {where} as it is, but model.override changes "
            f"{', '.join(settings.model.override)}; leave one of them out"
        )
    _must_fit(where, "vocab_size", shape.vocab_size, tokenizer.vocab_size)
    if feature_width is not None:
        _must_fit(where, "feature_width", shape.feature_width, feature_width)
    check_positions(shape, settings, where)


def check_positions(shape: Shape, settings: Settings, where: str) -> None:
    longest, places = settings.data.max_text_tokens, shape.max_position_embeddings
    if longest > places:
        raise SettingsError(
            f"data.max_text_tokens is {longest}, but {where} has {places} positions; lower it"
        )


def shape_in(folder: Path) -> Shape:
    """Of one of our own Hugging Face directories."""
    if not (folder / "config.json").is_file():
        raise SettingsError(f"{folder}: no config.json; give a directory such as runs/<name>/export")
    tree = read_json(folder / "config.json")
    if tree.get("model_type") != "interbert":
        raise SettingsError(
            f"{folder}: a {tree.get('model_type')}, not an interbert; `python -m interbert convert` brings others in"
        )
    return Shape(**{field.name: tree[field.name] for field in fields(Shape) if field.name in tree})


def _must_fit(where: str, field: str, model: int, data: int) -> None:
    if model != data:
        raise SettingsError(
            f"{where}: its {field} is {model}, the data's is {data}; take matching data or weights"
        )
