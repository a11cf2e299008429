"""The rules of texts, one after another: the first that a text breaks drops it."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from interbert.curate.settings import TextRules
from interbert.curate.texts.language import languages, written_in
from interbert.curate.texts.phrases import FILE_NAME, GENERIC, MENU
from interbert.curate.texts.words import letters_alone, words_of

TEXT_RULES = ("file_name", "generic", "length", "repetition", "unknown_words", "bad_words", "language",
              "page_topic", "alike")  # fmt: skip
"""In their order; those of the whole collection come behind."""
_SHORT_SOURCES = ("alt", "title")
_BAD = (
    "porn porno pornography xxx sex sexy nude nudes naked nsfw erotic escort milf hentai boobs pussy blowjob "
    "fuck fucking shit bitch slut whore cunt anal cum orgasm fetish bdsm camgirl upskirt"
)
_BAD_PARTS = ("色情", "裸体", "做爱", "成人视频", "约炮")
"""Of scripts without spaces, wherever they stand."""
_SURE_OF_OTHER = 0.6
"""A text alone this surely of another language is of that one, whatever its page is in."""
_LEAST_OF_OWN = 0.1
"""And where so little speaks for a wanted one, it is nothing that people say."""
_ENOUGH_LETTERS = 15
"""Of shorter texts nobody can tell the language."""


@dataclass(frozen=True)
class Setting:
    """Where a text stands."""

    title: str
    """Of its page."""
    said: str
    """A sample of the page's text."""
    alone: bool
    """Whether the image is the only dominant one of its page."""


def broken_rule(text: str, source: str, rules: TextRules, setting: Setting) -> tuple[str, str] | None:
    """The name of the first rule that it breaks, and by what. Of what the whole collection says nothing here."""
    if FILE_NAME.match(text):
        return "file_name", "the name of a file, a number or an address"
    if GENERIC.match(text):
        return "generic", "said of any image"
    if MENU.search(text):
        return "generic", "a menu"
    words = words_of(text)
    most = rules.max_words if source in _SHORT_SOURCES else rules.max_words_of_others
    if not rules.min_words <= len(words) <= most:
        return "length", f"{len(words)} words, {rules.min_words} to {most} are wanted"
    repetition = repetition_of(words)
    if repetition > rules.max_repetition:
        return "repetition", f"{repetition:.0%} of its pairs of words were said before"
    known = vocabulary(rules.vocabulary)
    if (
        known
        and (share := sum(w not in known and not w.isdigit() for w in words) / len(words)) > rules.max_unknown
    ):
        return "unknown_words", f"{share:.0%} of its words are unknown"
    bad = [*bad_words(rules.bad_words).intersection(words), *(part for part in _BAD_PARTS if part in text)]
    if bad:
        return "bad_words", min(bad)
    if other := _other_language(text, rules, setting):
        return "language", other
    if not setting.alone and source != "caption" and _is_topic(text, setting.title):
        return "page_topic", "the title of a page with several images"
    return None


def repetition_of(words: list[str]) -> float:
    """Pairs of neighbouring words that were said before, as a share of all."""
    pairs = list(pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def _other_language(text: str, rules: TextRules, setting: Setting) -> str:
    wanted = rules.languages
    if not wanted:
        return ""
    if max(written_in(text, language) for language in wanted) < 0.7:
        return "in another script"
    together = languages(f"{setting.said} {text}")
    sure = max(together.get(language, 0.0) for language in wanted)
    if sure < rules.min_language:
        top = max(together, key=together.__getitem__, default="?")
        return f"page and text: {top}, and to {sure:.0%} {' or '.join(wanted)}"
    if len(letters_alone(text)) < _ENOUGH_LETTERS:
        return ""
    alone = languages(text)
    own = max(alone.get(language, 0.0) for language in wanted)
    top, share = max(alone.items(), key=lambda pair: pair[1], default=("?", 0.0))
    if (top not in wanted and share >= _SURE_OF_OTHER) or own < _LEAST_OF_OWN:
        return f"alone: {top} to {share:.0%}, and to {own:.0%} {' or '.join(wanted)}"
    return ""


def _is_topic(text: str, title: str) -> bool:
    plain, whole = letters_alone(text), letters_alone(title)
    return bool(plain) and (plain == whole or (len(plain) > 8 and whole.startswith(plain + " ")))


@lru_cache(maxsize=4)
def vocabulary(path: str | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no list of words, one a line in UTF-8 ({error})") from None
    return frozenset(line.strip().lower() for line in lines)


@lru_cache(maxsize=4)
def bad_words(path: str | None) -> frozenset[str]:
    return frozenset(_BAD.split()) | (vocabulary(path) - {""})
