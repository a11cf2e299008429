"""A reader of Chinese captions of its own: finds nouns by their characters and says in English what they claim."""

import re

from scenes_by_hand import Claim

COLOURS = dict(
    zip(
        "红绿蓝黄紫橙黑白",
        ["red", "green", "blue", "yellow", "purple", "orange", "black", "white"],
        strict=True,
    )
)
SHAPES = {
    "个球": "ball", "块方块": "cube", "个圆锥": "cone", "枚圆环": "ring", "颗星星": "star", "个十字": "cross",
    "件东西": "thing",
}  # fmt: skip
SIZES = {"小": "small", "大": "large"}
NUMBERS = {"一": 1, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7}
SIDES = {"左边": "left of", "左侧": "left of", "右边": "right of", "右侧": "right of"}
SIDES |= {"上面": "above", "上方": "above", "下面": "below", "下方": "below"}

_KIND = r"(?:([红绿蓝黄紫橙黑白])色的?)?([小大])?(球|方块|圆锥|圆环|星星|十字|东西)"
_NOUN = rf"([个块枚颗件]){_KIND}"
_ONE = re.compile(rf"另?一{_NOUN}")
_PLACE = rf"#(\d)的?({'|'.join(SIDES)})"


def read_chinese(text: str) -> Claim:
    counts = []
    absent = re.search(
        rf"(?:^图中没有|^我们没看到|^画面里没有任何|^这里看不到|，但没有|，没有任何){_KIND}$", text
    )
    if absent:
        counts.append((0, _kind(*absent.groups())))
        text = text[: absent.start()]
    verbs = "^图中正好有|^一共能看到|^我们数到|^画面里一共有|，一共有|，正好有"
    many = re.search(rf"(?:{verbs})([{''.join(NUMBERS)}]){_NOUN}$", text)
    if many:
        classifier, *kind = many.groups()[1:]
        counts.append((NUMBERS[many[1]], _noun(classifier, *kind)))
        text = text[: many.start()]
    nouns = [_noun(*found.groups()) for found in _ONE.finditer(text)]
    places = iter(range(len(nouns)))
    text = _ONE.sub(lambda _: f"#{next(places)}", text)
    text = re.sub(r"^(图中|画面里|我们看到|这里)有?", "", text)
    return Claim(nouns, _relations(text), counts)


def _relations(text: str) -> list[tuple[int, str, int]]:
    found, subject = [], -1
    for clause in text.split("，"):
        if there := re.fullmatch(rf"{_PLACE}有#(\d)", clause):
            found.append((int(there[3]), SIDES[there[2]], int(there[1])))
        elif stands := re.fullmatch(rf"(?:#(\d)|也)(?:在|位于){_PLACE}", clause):
            subject = int(stands[1]) if stands[1] else subject
            found.append((subject, SIDES[stands[3]], int(stands[2])))
        else:
            assert re.fullmatch(r"(还有)?(#\d、)*#\d(和#\d)?|", clause), text
    return found


def _noun(classifier: str, colour: str | None, size: str | None, shape: str) -> tuple[str | None, ...]:
    assert classifier + shape in SHAPES, f"{shape} is not counted by {classifier}"
    return _kind(colour, size, shape)


def _kind(colour: str | None, size: str | None, shape: str) -> tuple[str | None, ...]:
    english = next(word for chinese, word in SHAPES.items() if chinese[1:] == shape)
    return SIZES.get(size), COLOURS.get(colour), english
