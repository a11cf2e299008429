"""What made pages say beside captions: half of it to tune rules on, half to judge them by."""

from dataclasses import dataclass
from typing import Literal

from interbert.sources.scenes.captions import Draws

Part = Literal["tuning", "judging"]


@dataclass(frozen=True)
class Phrases:
    sites: tuple[str, ...]
    topics: tuple[str, ...]
    generic: tuple[str, ...]
    tails: tuple[str, ...]
    """Behind a caption, in place of {site} the site's name."""
    heads: tuple[str, ...]
    slogans: tuple[str, ...]
    """Said of many images."""
    sentences: tuple[str, ...]
    """Of paragraphs."""
    menu: tuple[str, ...]


TUNING = Phrases(
    sites=("brightworld", "shapemarket", "colourdaily", "thegrid"),
    topics=(
        "Shapes of the month of July", "Our walk through the museum of toys", "A weekend among bright things",
        "Everything new in our shop this spring", "Notes from the workshop", "Ten ways to arrange a table",
    ),
    generic=(
        "Click to enlarge", "IMG_{n}.jpg", "image", "photo {n}", "DSC0{n}", "View larger image", "thumbnail",
        "product-image_{n}", "untitled", "Loading...", "featured image", "{n}x{n}", "click here",
    ),
    tails=(" | {site}", " - {site}", " | Free download", " - stock photo", " – Buy online | {site}", " | Photo {n}"),
    heads=("Photo: ", "Image: ", "Click to enlarge: "),
    slogans=("Follow our little world every day", "The best place for things you will love"),
    sentences=(
        "We went there early in the morning, before the others had woken up.",
        "Nobody had told us how quiet the place would be at this time of the year.",
        "The people who live nearby say that it has always been like this.",
        "It took us “two hours” to find the café that our friends had told us about.",
        "There is something for everybody, and most of it costs very little.",
        "In the end we stayed longer than we had planned, and did not regret it.",
    ),
    menu=("Home", "News", "Shop", "About us", "Contact", "Log in"),
)  # fmt: skip
JUDGING = Phrases(
    sites=("lookandlearn", "tinyplaces", "paintbox", "roundandsquare"),
    topics=(
        "A day at the fair of forms", "Letters from our readers", "How we spent the long winter",
        "The collection of a patient man", "Questions that children ask", "What we found in the attic",
    ),
    generic=(
        "Click on the image to see a larger version", "P10{n}.JPG", "picture", "screenshot {n}", "Enlarge this image",
        "https://cdn.example.com/i/{n}.png", "pic_{n}_large", "No image available", "Read more", "photo",
        "hero image", "img-{n}-final", "Open in a new window",
    ),
    tails=(" :: {site}", " • {site}", " - wallpaper", " | Shop now", " » {site} » Gallery", " (photo by Ann Lee)"),
    heads=("Picture: ", "Fig. {n}: ", "Caption: "),
    slogans=("Subscribe to our letter and never miss a story", "Made with care by a small team of friends"),
    sentences=(
        "When the doors opened, a long line of visitors was already waiting outside.",
        "She had kept all of them in boxes under the stairs, one for every year.",
        "Most of what we know about it comes from a letter that was found by chance.",
        "The weather was not on our side, but nobody seemed to mind the rain.",
        "If you have never seen one of these before, you are “not alone” in that.",
        "He smiled, took another sip of his café au lait, and went on with the story.",
    ),
    menu=("Start", "Stories", "Pictures", "Who we are", "Write to us", "Sign up"),
)  # fmt: skip
PARTS: dict[Part, Phrases] = {"tuning": TUNING, "judging": JUDGING}
CHINESE_SENTENCES = (
    "我们一大早就出发了，那时候别人还没有起床。", "没有人告诉我们这个地方会这么安静。",
    "住在附近的人说这里一直都是这样。", "最后我们比计划多待了几个小时，一点也不后悔。",
)  # fmt: skip
CHINESE_TOPICS = ("七月的颜色和形状", "博物馆里的一天", "我们的小店有什么新东西")
_STARTS, _MIDDLES, _ENDS = (
    ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "dr", "kl", "pr", "st", "tr"],
    ["a", "e", "i", "o", "u", "ai", "ou"],
    ["n", "l", "r", "s", "t", "k", "m"],
)


def nonsense(draws: Draws, words: int) -> str:
    """Of a language that nobody speaks."""
    return " ".join(_word(draws) for _ in range(words))


def _word(draws: Draws) -> str:
    word = "".join(draws.choice(_STARTS) + draws.choice(_MIDDLES) for _ in range(1 + draws.below(2)))
    return word + draws.choice(_ENDS)
