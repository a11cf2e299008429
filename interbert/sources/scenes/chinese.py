"""From a form to Chinese, by a grammar of its own and not word for word from the English.

A thing is counted by its classifier (一颗星星, 两块方块), colour stands before size (红色的大球), where
something is follows what it is beside (球的左边), and a sentence may begin with the place (球的左边有一颗星星).
As in English the same form and style always give the same words.
"""

from interbert.sources.scenes.forms import Form, Phrase
from interbert.sources.scenes.wording import Style
from interbert.sources.scenes.world import COLOURS, SHAPES, SIZES

MAX_CHARACTERS = 60
_COLOURS = dict(zip(COLOURS, ("红色", "绿色", "蓝色", "黄色", "紫色", "橙色", "黑色", "白色"), strict=True))
_SIZES = dict(zip(SIZES, ("小", "大"), strict=True))
_SHAPES = {
    "ball": ("个", "球"), "cube": ("块", "方块"), "cone": ("个", "圆锥"),
    "ring": ("枚", "圆环"), "star": ("颗", "星星"), "cross": ("个", "十字"),
}  # fmt: skip
"""Classifier and noun."""
_THING = ("件", "东西")
_NUMBERS = ("零", "一", "两", "三", "四", "五", "六", "七")
_RELATIONS = (("左边", "左侧"), ("右边", "右侧"), ("上面", "上方"), ("下面", "下方"))
_OPENINGS = ("", "", "图中有", "画面里有", "我们看到", "这里有")
_PLACE_OPENINGS = ("", "", "图中", "画面里", "我们看到", "这里")
"""Where the sentence says itself what there is."""
_COUNT_FRAMES = ("图中正好有{count}", "一共能看到{count}", "我们数到{count}", "画面里一共有{count}")
"""一个 may be a or one: each frame says that it counts."""
_NONE_FRAMES = ("图中没有{noun}", "我们没看到{noun}", "画面里没有任何{noun}", "这里看不到{noun}")
_TAILS = ("，一共有{count}", "，正好有{count}")
_NONE_TAILS = ("，但没有{noun}", "，没有任何{noun}")


def say(form: Form, style: Style) -> str:
    if not form.things:
        return _only_counts(form, style)
    place_first = style.be % 3 == 0 and not _says_more_of_one(form)
    opening = _pick(_PLACE_OPENINGS if place_first and form.relations else _OPENINGS, style.opening)
    for start, full in ((opening, _full(style)), ("", _full(style)), ("", False)):
        text = start + _things(form, style, full, place_first) + _tail(form, style, full)
        if len(text) <= MAX_CHARACTERS:
            break
    return text


def vocabulary() -> list[str]:
    """Every character that a caption can hold, sorted."""
    texts = [
        *_COLOURS.values(),
        *_SIZES.values(),
        *_NUMBERS,
        *_OPENINGS,
        *_PLACE_OPENINGS,
        "另的在位于也有还和，、",
    ]
    texts += [word for pair in (*_SHAPES.values(), _THING, *_RELATIONS, _TAILS, _NONE_TAILS) for word in pair]
    frames = (*_COUNT_FRAMES, *_NONE_FRAMES, *texts)
    return sorted(set("".join(frame.format(count="", noun="") for frame in frames)))


def _says_more_of_one(form: Form) -> bool:
    """Whether two relations are of the same thing, which then has to be the subject."""
    first = [a for a, _, _ in form.relations]
    return len(set(first)) < len(first)


def _full(style: Style) -> bool:
    """Whether 的 is said wherever it may be left out."""
    return style.relation // 2 % 2 == 0


def _only_counts(form: Form, style: Style) -> str:
    ((count, phrase),) = form.counts
    if count == 0:
        return _pick(_NONE_FRAMES, style.frame).format(noun=_noun(phrase, _full(style)))
    return _pick(_COUNT_FRAMES, style.frame).format(count=_so_many(count, phrase, _full(style)))


def _tail(form: Form, style: Style, full: bool) -> str:
    said = ""
    for count, phrase in form.counts:
        if count:
            said += _pick(_TAILS, style.exactly).format(count=_so_many(count, phrase, full))
        else:
            said += _pick(_NONE_TAILS, style.frame).format(noun=_noun(phrase, full))
    return said


def _things(form: Form, style: Style, full: bool, place_first: bool) -> str:
    said = [thing for a, _, b in form.relations for thing in ((b, a) if place_first else (a, b))]
    rest = [thing for thing in range(len(form.things)) if thing not in said]
    names = _names(form, [*said, *rest], full)
    verb, of = ("位于" if style.be % 3 == 1 else "在"), ("的" if full else "")
    clauses: list[str] = []
    subjects: set[int] = set()
    for a, relation, b in form.relations:
        place = f"{names[b]}{of}{_pick(_RELATIONS[relation], style.relation)}"
        if place_first:
            clauses.append(f"{place}有{names[a]}")
        else:
            clauses.append(f"也{verb}{place}" if a in subjects else f"{names[a]}{verb}{place}")
        subjects.add(a)
    listing = _enumerate([names[thing] for thing in rest]) if rest else ""
    if not clauses:
        return listing
    return "，".join(clauses) + (f"，还有{listing}" if rest else "")


def _names(form: Form, order: list[int], full: bool) -> dict[int, str]:
    """What each thing is called, given the order in which they are mentioned: of two alike the later is the other."""
    names: dict[int, str] = {}
    for thing in order:
        if thing not in names:
            phrase = form.things[thing]
            again = any(form.things[other] == phrase for other in names)
            names[thing] = ("另" if again else "") + _so_many(1, phrase, full)
    return names


def _so_many(count: int, phrase: Phrase, full: bool) -> str:
    return _NUMBERS[count] + _shape(phrase)[0] + _noun(phrase, full)


def _noun(phrase: Phrase, full: bool) -> str:
    colour = "" if phrase.colour is None else _COLOURS[COLOURS[phrase.colour]] + ("的" if full else "")
    size = "" if phrase.size is None else _SIZES[SIZES[phrase.size]]
    return colour + size + _shape(phrase)[1]


def _shape(phrase: Phrase) -> tuple[str, str]:
    return _THING if phrase.shape is None else _SHAPES[SHAPES[phrase.shape]]


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{'、'.join(names[:-1])}和{names[-1]}"


def _pick(choices: tuple[str, ...], number: int) -> str:
    return choices[number % len(choices)]
