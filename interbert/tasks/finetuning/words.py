"""The tokenizer of a model that is fine-tuned."""

from pathlib import Path

from interbert.config import Settings, SettingsError
from interbert.hub import local_folder
from interbert.train.start.provide import tokenizer_folder


def words_of(settings: Settings) -> Path:
    """The tokenizer's folder: the model's own, unless another is named."""
    if settings.data.tokenizer:
        return Path(settings.data.tokenizer)
    if settings.model.inherit_from:
        return Path(settings.model.inherit_from)
    if settings.model.bert:
        return local_folder(settings.model.bert)
    if not settings.data.train:
        if settings.scenes:
            return Path(settings.scenes.folder) / "tokenizer"
        raise SettingsError("no words are known: give --model DIR, or a tokenizer by data.tokenizer")
    return tokenizer_folder(settings)
