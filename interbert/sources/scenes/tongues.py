"""The tongues that scenes are spoken of in: the same forms, each with a grammar of its own."""

from interbert.config import Language, Tongue
from interbert.sources.scenes import chinese, wording
from interbert.sources.scenes.forms import Form
from interbert.sources.scenes.wording import Style

_GRAMMARS = {"en": wording, "zh": chinese}


def tongues_of(language: Language) -> tuple[Tongue, ...]:
    """Of `both` English first."""
    return ("en", "zh") if language == "both" else (language,)


def say_in(tongue: Tongue, form: Form, style: Style) -> str:
    return _GRAMMARS[tongue].say(form, style)


def vocabulary_of(language: Language) -> list[str]:
    """Every word, character and mark that a caption can hold, sorted."""
    return sorted({word for tongue in tongues_of(language) for word in _GRAMMARS[tongue].vocabulary()})


def parts_of_text(tongue: Tongue, text: str) -> list[str]:
    """Words; of Chinese, which writes no spaces, characters."""
    return list(text) if tongue == "zh" else text.split()


def from_parts(tongue: Tongue, parts: list[str]) -> str:
    return ("" if tongue == "zh" else " ").join(parts)
