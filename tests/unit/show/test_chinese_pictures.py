"""Pictures and pages of Chinese captions: a font that has the characters, lines that are broken between them."""

import logging

import numpy as np
import pytest
from PIL import ImageFont

from interbert.corpus.corpus import Corpus
from interbert.script import breakable, is_wide, language_of, words_in
from interbert.show import fonts
from interbert.show.drawing import attention_picture, draw_regions
from interbert.show.fonts import FONT_FILE, chinese_font, font_for
from interbert.show.overview import describe, picture
from interbert.show.page import html_page
from interbert.sources.scenes.write import write_scenes

BOX = np.array([[10, 10, 60, 60]])
TEXT = "一颗红色的大星星在一块蓝色的方块的左边，也在一个绿色的小球的上面，还有一枚白色的大圆环"


@pytest.fixture(autouse=True)
def fresh():
    chinese_font.cache_clear()
    yield
    chinese_font.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.delenv(FONT_FILE, raising=False)
    monkeypatch.setattr(fonts, "_told_by_fontconfig", list)
    monkeypatch.setattr(fonts, "_files", list)


def test_what_is_chinese():
    assert words_in("a red  ball, left-handed") == 4 == len(["a", "red", "ball,", "left-handed"])
    assert words_in("红色的ball，大 星") == 6
    assert is_wide("a，b") and is_wide("かな") and not is_wide("naïve “quotes” …")
    assert [language_of(text) for text in ("一颗 star", "a star", "星です")] == ["zh", None, None]


def test_lines_are_broken_between_characters_and_not_before_marks():
    assert breakable(" a red  ball") == [(" ", "a"), (" ", "red"), (" ", "ball")]
    assert breakable("大star，红 色。") == [("", "大"), ("", "star，"), ("", "红"), (" ", "色。")]
    one, many = (
        draw_regions(200, 200, BOX, caption=TEXT[:4] if short else TEXT * 3) for short in (True, False)
    )
    assert (many.height - one.height) % 21 == 0 and many.height - one.height >= 42, (
        "lines of 21, within the picture"
    )


def test_without_a_font_it_is_said_once_what_helps(no_fonts, caplog):
    with caplog.at_level(logging.WARNING):
        draw_regions(200, 200, BOX, ["红球"], TEXT)
        attention_picture(draw_regions(200, 200, BOX), ["红", "ball"], np.ones((2, 1)), title="红")
    assert [record.message.count("fonts-wqy-microhei") for record in caplog.records] == [1]
    caplog.clear()
    draw_regions(200, 200, BOX, ["ball"], "a red ball")
    assert not caplog.records and font_for("ball", 20).getname() == ImageFont.load_default(size=20).getname()


def test_a_font_is_taken_that_has_the_characters(no_fonts, monkeypatch, tmp_path):
    """DejaVu has Cyrillic and no Chinese, and so stands for either."""
    dejavu = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
    if not fonts.Path(dejavu).exists():
        pytest.skip("DejaVu is not installed")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    listed = [str(tmp_path / "gone.ttf"), str(tmp_path / "broken.ttf"), dejavu]
    monkeypatch.setattr(fonts, "_told_by_fontconfig", lambda: listed)
    assert chinese_font() is None
    chinese_font.cache_clear()
    monkeypatch.setattr(fonts, "_SAMPLE", "Ж")
    assert chinese_font() == dejavu
    assert font_for("红", 20).path == dejavu and font_for("a", 20).path != dejavu
    chinese_font.cache_clear()
    monkeypatch.setenv(FONT_FILE, str(tmp_path / "broken.ttf"))
    with pytest.raises(ValueError, match=f"{FONT_FILE}=.*name one, or unset it"):
        chinese_font()


def test_the_best_names_come_first():
    names = [
        "/a/uming.ttc",
        "/a/NotoSansCJK-Bold.ttc",
        "/b/NotoSansCJK-Regular.ttc",
        "/a/wqy-microhei.ttc",
        "/a/x.ttf",
    ]
    best = [
        "/b/NotoSansCJK-Regular.ttc",
        "/a/NotoSansCJK-Bold.ttc",
        "/a/wqy-microhei.ttc",
        "/a/uming.ttc",
        "/a/x.ttf",
    ]
    assert fonts._best_first(names) == best


@pytest.mark.skipif(chinese_font() is None, reason="no font with Chinese characters (make debian-packages)")
def test_characters_are_drawn_and_not_boxes():
    drawn = {
        np.asarray(draw_regions(200, 200, BOX, caption=character)).tobytes() for character in "红绿蓝黄大小"
    }
    assert len(drawn) == 6


def test_a_data_set_is_shown(tmp_path):
    write_scenes(tmp_path / "a.h5", 4, seed=1, feature_width=4, captions=2, language="zh")
    with Corpus([tmp_path / "a.h5"]) as corpus:
        text = corpus.caption_text(0)
        told, page = describe(corpus, [0]), html_page(corpus, [0])
        assert text in told and "words a caption: 1 to 1" not in told
        assert f"<li lang=zh>{text}</li>" in page
        assert picture(corpus, [0]).height > 400
