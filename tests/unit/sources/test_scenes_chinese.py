"""Chinese captions are judged by a reader of the tests' own, which knows nothing of forms."""

import pytest
from chinese_by_hand import read_chinese
from scenes_by_hand import read, true_of

from interbert.config import SettingsError
from interbert.recipe import load_recipe
from interbert.sources.scenes.chinese import MAX_CHARACTERS, say, vocabulary
from interbert.sources.scenes.forms import ABOVE, LEFT, Form, Phrase
from interbert.sources.scenes.picture import recall
from interbert.sources.scenes.wording import Style
from interbert.sources.scenes.world import COLOURS, SHAPES, sample_window
from interbert.sources.scenes.write import Told, tell, write_scenes
from interbert.store.store import Store
from interbert.tokenizer import load_tokenizer

SCENES = 120


@pytest.fixture(scope="module")
def window():
    return sample_window(7, "validation", 0)


@pytest.fixture(scope="module")
def told(window) -> list[Told]:
    return list(tell(window, 0, SCENES, captions=5, swapped=3, noise=0.0, language="zh"))


def test_true_captions_are_true_and_falsified_ones_false(window, told):
    for row, said in enumerate(told):
        scene = window.scene(row)
        assert len({caption.text for caption in said.captions}) == 5
        for caption in said.captions:
            assert true_of(read_chinese(caption.text), scene), (caption.text, scene)
        for _, false in said.swapped:
            assert not true_of(read_chinese(false.text), scene), (false.text, scene)


def test_the_first_is_true_of_its_scene_alone(window, told):
    scenes = [window.scene(row) for row in range(SCENES)]
    for row, said in enumerate(told):
        claim = read_chinese(said.captions[0].text)
        assert [other for other, scene in enumerate(scenes) if true_of(claim, scene)] == [row]


def test_both_say_the_same_twice(window, told):
    english = list(tell(window, 0, 40, captions=3, swapped=2, noise=0.0))
    both = list(tell(window, 0, 40, captions=3, swapped=2, noise=0.0, language="both"))
    for row, (one, two) in enumerate(zip(english, both, strict=True)):
        assert [caption.text for caption in two.captions[::2]] == [caption.text for caption in one.captions]
        assert [two.distinctive(place) for place in range(6)] == [True, True, *[False] * 4]
        scene = window.scene(row)
        for first, second in zip(two.captions[::2], two.captions[1::2], strict=True):
            claims = read(first.text), read_chinese(second.text)
            assert sorted(claims[0].nouns, key=str) == sorted(claims[1].nouns, key=str)
            assert true_of(claims[1], scene)
        for (at, first), (also, second) in zip(two.swapped[::2], two.swapped[1::2], strict=True):
            assert (two.captions[at].tongue, two.captions[also].tongue, also) == ("en", "zh", at + 1)
            assert not true_of(read(first.text), scene) and not true_of(read_chinese(second.text), scene)


def test_its_own_grammar():
    red, blue = (
        Phrase(COLOURS.index("red"), SHAPES.index("star"), 1),
        Phrase(COLOURS.index("blue"), SHAPES.index("cube")),
    )
    left = Form((red, blue), ((0, LEFT, 1),))
    assert say(left, Style(0, 0, 2, 0, 0, 0)) == "一颗红色的大星星在一块蓝色的方块的左边"
    assert say(left, Style(2, 0, 1, 3, 0, 0)) == "图中有一颗红色大星星位于一块蓝色方块左侧"
    assert say(left, Style(2, 0, 0, 0, 0, 0)) == "图中一块蓝色的方块的左边有一颗红色的大星星"
    two = Form((red, blue, blue), ((0, LEFT, 1), (0, ABOVE, 2)), ((0, Phrase(shape=0)),))
    assert (
        say(two, Style(0, 0, 0, 2, 0, 0))
        == "一颗红色大星星在一块蓝色方块左边，也在另一块蓝色方块上面，但没有球"
    )
    assert say(Form((), (), ((2, Phrase(shape=3)),)), Style(0, 0, 0, 0, 1, 0)) == "图中正好有两枚圆环"
    assert say(Form((), (), ((0, Phrase(colour=7)),)), Style(0, 0, 0, 0, 0, 2)) == "画面里没有任何白色的东西"


def test_lengths_and_the_vocabulary(told):
    texts = [c.text for said in told for c in [*said.captions, *(false for _, false in said.swapped)]]
    assert {character for text in texts for character in text} <= set(vocabulary())
    assert 12 <= max(map(len, texts)) <= MAX_CHARACTERS and not any("{" in word for word in vocabulary())
    for sign in "两也另还":
        assert sum(sign in text for text in texts) > 5, sign


@pytest.mark.parametrize("language", ["zh", "both"])
def test_a_store_of_it(language, tmp_path):
    path = tmp_path / "a.h5"
    write_scenes(path, 8, seed=5, feature_width=4, captions=2, swapped=1, language=language)
    many = 2 if language == "both" else 1
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    with Store(path) as store:
        assert store.source.endswith(f"language={language}")
        assert store.captions == 16 * many and len(store.swapped_caption) == 8 * many
        assert store.caption_kind.reshape(8, -1).tolist() == [[1] * many + [0] * many] * 8
        known = recall(store.image_id(3), captions=2, swapped=1, language=language)
        assert [c.text for c in known.told.captions] == [
            store.caption_text(6 * many + i) for i in range(2 * many)
        ]
        texts = [store.caption_text(caption) for caption in range(store.captions)]
    encoded = tokenizer.encode(texts, 200)
    assert tokenizer.unk_id not in {token for ids in encoded for token in ids}
    last = many - 1
    assert len(encoded[last]) == len(texts[last]) + 2, "each character is a word"


def test_noise_takes_characters(window):
    for said in tell(window, 0, 40, captions=2, swapped=0, noise=1.0, language="zh"):
        for caption in said.captions:
            assert " " not in caption.text and set(caption.text) <= set(vocabulary())


def test_the_recipe(tmp_path):
    settings = load_recipe("scenes_zh")
    assert settings.scenes.language == "zh" and settings.data.max_text_tokens >= MAX_CHARACTERS + 2
    with pytest.raises(SettingsError, match="examples are asked in English"):
        load_recipe("scenes_vqa", ["scenes.language=zh"])
