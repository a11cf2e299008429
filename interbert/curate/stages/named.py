"""The files that settings name, known again by what is in them: a model trained anew, or a longer list of words,
would else be mixed with what the earlier one has decided."""

import os
from pathlib import Path

import xxhash

from interbert.curate.reading.units import ends_of
from interbert.curate.settings import CurateSettings


def stamps_of(settings: CurateSettings) -> dict[str, str]:
    """By the setting's name."""
    images, texts, fit = settings.images, settings.texts, settings.fit
    given = {
        "images.natural": images.natural, "images.safe": images.safe, "texts.vocabulary": texts.vocabulary,
        "texts.bad_words": texts.bad_words, "fit.model": fit.model, "fit.scorer": fit.scorer,
        "fit.features": fit.features, "fit.encoder": fit.encoder,
    }  # fmt: skip
    return {name: _stamp(spec) for name, spec in given.items() if spec is not None}


def _stamp(spec: str) -> str:
    """Of a file, of a folder, or of the file of FILE.py:FUNCTION; what is none of them is known by its name alone."""
    path = Path(spec)
    if not path.exists():
        path = Path(spec.rpartition(":")[0] or spec)
    files = [path] if path.is_file() else []
    for folder, _, names in os.walk(path):
        files += [Path(folder, name) for name in names]
    digest = xxhash.xxh3_64()
    for file in sorted(files):
        digest.update(f"{file.name}\0{ends_of(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
