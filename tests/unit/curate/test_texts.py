"""Texts: repaired, told apart from what is said of any image, and judged by their language."""

import pytest

from interbert.curate.settings import TextRules
from interbert.curate.texts.repair import repaired, site_names
from interbert.curate.texts.rules import Setting, broken_rule, repetition_of
from interbert.curate.texts.words import text_key, words_of

SAID = "We went there early in the morning, before the others had woken up, and walked along the river to the mill."
ENGLISH = Setting("A weekend among bright things", SAID, alone=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A cat on a mat | Cats.com", "A cat on a mat"),
        ("A cat on a mat - Free Download - Stock photo", "A cat on a mat"),
        ("Photo: a cat on a mat", "a cat on a mat"),
        ("Fig. 12: a cat on a mat", "a cat on a mat"),
        ("Click to enlarge: a cat on a mat", "a cat on a mat"),
        ("A &lt;b&gt;cat&lt;/b&gt; on a&nbsp;mat &amp;amp; a dog", "A cat on a mat & a dog"),
        ("The cafÃ© at night", "The café at night"),
        ("  \u200b“A cat” on a mat  ", "“A cat” on a mat"), ("“A cat”", "A cat"),
        ("A cat on a mat — Cats", "A cat on a mat"),
        ("New York - the harbour at night", "New York - the harbour at night"),
        ("well-known cat", "well-known cat"),
        ("<script>", ""),
    ],
)  # fmt: skip
def test_repair(text, expected):
    assert repaired(text, ["cats"]) == expected


def test_a_sites_names():
    assert site_names("Tom the cat | Cats and more", "www.cats.com") == ["cats", "Cats and more"]
    assert site_names("Tom", "news.cats.co.uk")[:2] == ["co", "cats"]
    assert site_names("", "") == []


GOOD = (
    "a red ball left of a large blue cube",
    "The old harbour of Lisbon on a quiet winter morning",
    "we see a small green ring and a white star above it",
    "Two children play football in the park near the museum",
)


@pytest.mark.parametrize("text", GOOD)
def test_what_people_say_of_pictures_passes(text):
    assert broken_rule(text, "alt", TextRules(), ENGLISH) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        *((text, "file_name") for text in ("IMG_2043", "DSC00123", "my-cat_2.jpg", "1200x800", "http://a.org/b",
                                           "f3a9c0de11", "photo 12", "", "...", "summer_in_rome_final")),
        *((text, "generic") for text in ("click to enlarge", "Click on the image to see a larger version",
                                         "Read more", "image", "hero image", "No image available", "Loading...",
                                         "点击查看大图", "Home | News | Shop | Contact | More", "View full size")),
        ("a cat", "length"), (" ".join(f"word{chr(97 + n)}" for n in range(21)), "length"),
        ("buy it now buy it now buy it now", "repetition"),
        ("free porn videos of the week", "bad_words"),
        ("Деревянный дом на берегу реки", "language"), ("左边有一颗星星，还有一个红色的球", "language"),
        ("Ein kleiner Hund schläft auf dem alten Sofa", "language"),
        ("A weekend among bright things", "page_topic"),
    ],
)  # fmt: skip
def test_rules_of_texts(text, rule):
    assert broken_rule(text, "alt", TextRules(), ENGLISH)[0] == rule


def test_longer_texts_are_right_where_they_are_captions():
    text = "The harbour of the town at night with its boats, seen from the hill behind the church where the road ends"
    assert broken_rule(text, "alt", TextRules(), ENGLISH)[0] == "length"
    assert broken_rule(text, "caption", TextRules(), ENGLISH) is None


def test_titles_belong_to_an_image_that_is_alone():
    alone = Setting(ENGLISH.title, SAID, alone=True)
    assert broken_rule(ENGLISH.title, "page", TextRules(), alone) is None


def test_unknown_words_are_judged_where_a_list_is_given(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\na\nred\nball\nof\ncube\nleft\nblue\nlarge\n")
    rules = TextRules(vocabulary=str(tmp_path / "vocab.txt"))
    assert broken_rule(GOOD[0], "alt", rules, ENGLISH) is None
    assert broken_rule(GOOD[1], "alt", rules, ENGLISH)[0] == "unknown_words"
    with pytest.raises(ValueError, match="one a line"):
        broken_rule(GOOD[0], "alt", TextRules(vocabulary=str(tmp_path / "nothing")), ENGLISH)


def test_languages_can_be_chosen_or_left():
    chinese = Setting(
        "七月", "我们一大早就出发了，那时候别人还没有起床。住在附近的人说这里一直都是这样。", alone=False
    )
    text = "左边有一颗星星，还有一个红色的球"
    assert broken_rule(text, "alt", TextRules(languages=["zh"]), chinese) is None
    assert broken_rule(text, "alt", TextRules(languages=[]), ENGLISH) is None
    assert broken_rule(GOOD[1], "alt", TextRules(languages=["zh"]), chinese)[0] == "language"


def test_words_and_keys():
    assert words_of("The cat's 2 red-hot balls, 红色的球") == [
        "the",
        "cat's",
        "2",
        "red-hot",
        "balls",
        "红色",
        "的球",
    ]
    assert text_key("Photo 12!") == text_key("photo 3") != text_key("photos")
    assert repetition_of(words_of("a red ball and a blue ball")) == 0
    assert repetition_of([]) == 0
