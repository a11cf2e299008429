"""What of a text is written in Chinese characters, which stand without spaces and need a font that has them."""

import re

HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_MARKS = r"\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_KANA_ANDHANGUL = r"\u3040-\u30ff\uac00-\ud7af"
_WORDS = re.compile(rf"[{HAN}]|[^\s{HAN}{_MARKS}]+")
_WIDE = re.compile(rf"[\u2e80-\u2fdf{_MARKS}{_KANA_ANDHANGUL}{HAN}\uff10-\uffef]")
_PIECES = re.compile(rf"(\s*)([{HAN}{_KANA_ANDHANGUL}][{_MARKS}]*|[^\s{HAN}{_KANA_ANDHANGUL}]+)")


def words_in(text: str) -> int:
    """Words between spaces, and each Chinese character for itself."""
    return len(_WORDS.findall(text))


def is_wide(text: str) -> bool:
    """Whether it has characters that a font of Latin letters lacks: Chinese, and its neighbours'."""
    return _WIDE.search(text) is not None


def language_of(text: str) -> str | None:
    """zh where it is Chinese, for whoever chooses among the ways to draw a character; None: nothing is known."""
    return "zh" if re.search(f"[{HAN}]", text) and not re.search(f"[{_KANA_ANDHANGUL}]", text) else None


def breakable(line: str) -> list[tuple[str, str]]:
    """Pieces between which a line may be broken, each with what stands before it on the same line: a space, or
    nothing. A mark stays with the character before it."""
    return [(" " if space else "", piece) for space, piece in _PIECES.findall(line)]
