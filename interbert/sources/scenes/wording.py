"""From a form to English. The same form and style always give the same words, so a falsified form says all
but the changed words exactly as the true one did."""

from typing import NamedTuple

from interbert.sources.scenes.forms import Form, Phrase
from interbert.sources.scenes.world import COLOURS, SHAPES, SIZES

MAX_WORDS = 24
OPENINGS = ("", "", "here is", "we see", "the picture shows", "this scene has")
CLOSINGS = ("", "in the picture", "in this scene")
RELATIONS = (
    ("left of", "to the left of"),
    ("right of", "to the right of"),
    ("above", "over"),
    ("below", "under"),
)
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")
COUNT_FRAMES = ("there {be} {count}", "{count} can be seen", "we count {count}", "this scene has {count}")
NONE_FRAMES = (
    "there is no {one}",
    "we see no {one}",
    "a scene without any {many}",
    "the picture has no {one}",
)
_PLURALS = {"cross": "crosses"}


class Style(NamedTuple):
    """Which of several wordings is taken; each is reduced to the number of choices there are."""

    opening: int
    closing: int
    be: int
    relation: int
    exactly: int
    frame: int


def say(form: Form, style: Style) -> str:
    if not form.things:
        return _only_counts(form, style)
    tail = "".join(_tail(count, phrase, style) for count, phrase in form.counts)
    opening = _pick(OPENINGS, style.opening)
    # "is" belongs to a sentence without another verb.
    body = _things(form, style, be=style.be % 2 == 0 and not opening) + tail
    bare = not form.counts and opening in ("", "we see")
    closing = _pick(CLOSINGS, style.closing) if bare else ""
    for start, end in ((opening, closing), (opening, ""), ("", "")):
        text = " ".join(part for part in (start, body, end) if part)
        if len(text.split()) <= MAX_WORDS:
            break
    return text


def _only_counts(form: Form, style: Style) -> str:
    ((count, phrase),) = form.counts
    if count == 0:
        frame = _pick(NONE_FRAMES, style.frame)
        return frame.format(one=noun(phrase), many=noun(phrase, plural=True))
    return _pick(COUNT_FRAMES, style.frame).format(
        be="is" if count == 1 else "are", count=_counted(count, phrase, style)
    )


def _tail(count: int, phrase: Phrase, style: Style) -> str:
    if count:
        return f" in a scene with {_counted(count, phrase, style)}"
    if style.frame % 2:
        return f" without any {noun(phrase, plural=True)}"
    return f" but no {noun(phrase)}"


def _things(form: Form, style: Style, be: bool) -> str:
    names: list[str] = []
    for place, phrase in enumerate(form.things):
        again = phrase in form.things[:place]
        names.append(f"another {noun(phrase)}" if again else with_article(noun(phrase)))
    said: set[int] = set()
    clauses: list[str] = []
    for a, relation, b in form.relations:
        words = f"{_pick(RELATIONS[relation], style.relation)} {names[b]}"
        if not clauses:
            clauses.append(f"{names[a]} {'is ' if be else ''}{words}")
        elif a in said:
            clauses.append(f" and {words}")
        else:
            clauses.append(f" while {names[a]} is {words}")
        said |= {a, b}
    rest = [name for place, name in enumerate(names) if place not in said]
    if not clauses:
        return _enumerate(rest)
    return "".join(clauses) + (f", with {_enumerate(rest)}" if rest else "")


def _enumerate(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(count: int, phrase: Phrase, style: Style) -> str:
    exactly = "exactly " if style.exactly % 2 else ""
    return f"{exactly}{NUMBERS[count]} {noun(phrase, plural=count > 1)}"


def noun(phrase: Phrase, plural: bool = False) -> str:
    shape = "thing" if phrase.shape is None else SHAPES[phrase.shape]
    if plural:
        shape = _PLURALS.get(shape, f"{shape}s")
    size = [] if phrase.size is None else [SIZES[phrase.size]]
    colour = [] if phrase.colour is None else [COLOURS[phrase.colour]]
    return " ".join([*size, *colour, shape])


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _pick(choices: tuple[str, ...], number: int) -> str:
    return choices[number % len(choices)]


def vocabulary() -> list[str]:
    """Every word and mark that a caption can hold, sorted."""
    frames = (*OPENINGS, *CLOSINGS, *NUMBERS, *(w for pair in RELATIONS for w in pair))
    frames += tuple(
        frame.format(be="is are", count="", one="", many="") for frame in COUNT_FRAMES + NONE_FRAMES
    )
    glue = "a an another thing things is and while with in scene but no without any exactly ,"
    shapes = [*SHAPES, *(_PLURALS.get(shape, f"{shape}s") for shape in SHAPES)]
    text = " ".join([*frames, glue, *COLOURS, *SIZES, *shapes])
    return sorted(set(text.split()))
