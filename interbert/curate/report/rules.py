"""Every rule: what it is of, its threshold in words, and why that stands there."""

from collections.abc import Callable
from dataclasses import dataclass

from interbert.curate.settings import CurateSettings

ON_PAGES, IMAGES, TEXTS = "images on pages", "images", "texts"


@dataclass(frozen=True)
class Rule:
    name: str
    of: str
    keeps: Callable[[CurateSettings], str]
    """What passes, in words."""
    why: str
    count: str = ""
    """What its drops are counted by, where that is not its name."""


RULES = (
    Rule("opt_out", ON_PAGES, lambda s: "whose page and server do not say noai, noimageai or noindex"
         if s.rights.honour_opt_out else "all: switched off by rights.honour_opt_out", "img2dataset's default"),
    Rule("not_found", ON_PAGES, lambda s: "whose file is in one of the inputs", "nothing is downloaded"),
    Rule("decoration", ON_PAGES, lambda s: "no logo, button, icon, advertisement or tracker by name, place or size",
         "mmc4; LAIT: dominant images"),
    Rule("decodes", ON_PAGES, lambda s: f"that decode, of at most {s.reading.max_megapixels:g} million pixels",
         "LAIT"),
    Rule("dominant", ON_PAGES, lambda s: f"of at least {s.images.min_area_of_largest:.0%} of the largest's area "
         f"and {s.images.min_area_of_all:.0%} of all together", "LAIT; tuned on made pages"),
    Rule("sides", ON_PAGES, lambda s: f"both sides above {s.images.larger_than} pixels", "LAIT: > 300"),
    Rule("ratio", ON_PAGES, lambda s: f"longer side at most {s.images.max_ratio:g} times the shorter", "CC12M: 2.5"),
    Rule("bytes", ON_PAGES, lambda s: f"a file of at least {s.images.min_bytes:,} bytes", "LAION-400M: 5 KB"),
    Rule("no_text", ON_PAGES, lambda s: "with a text that passes the rules of texts", ""),
    Rule("pages", IMAGES, lambda s: f"on at most {s.images.max_pages} pages", "mmc4, OBELICS: > 10 is decoration"),
    Rule("never", IMAGES, lambda s: f"more than {s.images.near_bits} of 64 bits from every image of --never",
         "ALIGN: no near-duplicates of test images"),
    Rule("duplicate", IMAGES, lambda s: f"more than {s.images.near_bits} of 64 bits from every larger one",
         "mmc4: phash <= 5"),
    Rule("no_text_left", IMAGES, lambda s: "with a text that the collection leaves it", ""),
    Rule("natural", IMAGES, lambda s: f"natural by at least {s.images.min_natural:g}", "LAIT"),
    Rule("safe", IMAGES, lambda s: f"safe by at least {s.images.min_safe:g}", "mmc4: unsafe > 0.1 goes"),
    Rule("fits_nothing", IMAGES, lambda s: f"whose best text fits with a probability of at least {s.fit.least:g}",
         "abstention: better no pair than a false one"),
    Rule("fits_less", IMAGES, lambda s: f"the {s.fit.keep:.0%} that fit best", "DataComp: 30 %; DFN: 15 %"),
    Rule("file_name", TEXTS, lambda s: "no names of files, numbers or addresses", "LAIT: bad spans"),
    Rule("generic", TEXTS, lambda s: "no words that are said of any image", "LAIT: bad spans"),
    Rule("length", TEXTS, lambda s: f"{s.texts.min_words} to {s.texts.max_words} words; captions, descriptions and "
         f"texts around to {s.texts.max_words_of_others}", "ALIGN: 3 to 20"),
    Rule("repetition", TEXTS, lambda s: f"at most {s.texts.max_repetition:.0%} of pairs of words said before",
         "CC12M: 0.2 of words"),
    Rule("unknown_words", TEXTS, lambda s: f"at most {s.texts.max_unknown:.0%} of words that {s.texts.vocabulary} "
         "does not have" if s.texts.vocabulary else "not judged: no texts.vocabulary", "LAIT; CC3M"),
    Rule("bad_words", TEXTS, lambda s: "none of a list", "RedCaps"),
    Rule("language", TEXTS, lambda s: f"{' or '.join(s.texts.languages)}, page and text together by at least "
         f"{s.texts.min_language:g}" if s.texts.languages else "not judged: no texts.languages", "OBELICS: 0.8"),
    Rule("page_topic", TEXTS, lambda s: "not the title of a page with several images", "tuned on made pages"),
    Rule("alike", TEXTS, lambda s: f"less than {s.texts.max_alike:.0%} like a better text of the image",
         "one of two is enough"),
    Rule("shared", TEXTS, lambda s: f"on at most {s.texts.max_images} images", "ALIGN: > 10"),
    Rule("alike_elsewhere", TEXTS, lambda s: f"less than {s.texts.max_alike:.0%} like another page's text of it",
         "one of two is enough"),
    Rule("many_texts", TEXTS, lambda s: f"the first {s.texts.max_of_image:,} of an image and its near copies",
         "one is chosen"),
)  # fmt: skip


def not_judged(settings: CurateSettings) -> list[str]:
    """What nothing was given to judge by."""
    given = {
        "natural": settings.images.natural,
        "safe": settings.images.safe,
        "fit": settings.fit.model,
        "unknown_words": settings.texts.vocabulary,
        "language": settings.texts.languages,
    }
    return [name for name, by in given.items() if not by]


def is_on(rule: Rule, settings: CurateSettings) -> bool:
    off = set(not_judged(settings))
    off |= {"fits_nothing", "fits_less"} if "fit" in off else set()
    return rule.name not in off and not (rule.name == "opt_out" and not settings.rights.honour_opt_out)
