"""Captions are judged here by an evaluator of the tests' own, which reads the English."""

import random
import re

import pytest
from scenes_by_hand import read, true_of

from interbert.sources.scenes.forms import ABOVE, LEFT, Form, Phrase, Uniqueness, holds
from interbert.sources.scenes.wording import Style, say, vocabulary
from interbert.sources.scenes.world import COLOURS, SHAPES, Scene, kind_of, sample_window
from interbert.sources.scenes.write import Told, tell

SCENES = 256


@pytest.fixture(scope="module")
def window():
    return sample_window(7, "validation", 0)


@pytest.fixture(scope="module")
def scenes(window) -> list[Scene]:
    return [window.scene(row) for row in range(SCENES)]


@pytest.fixture(scope="module")
def told(window) -> list[Told]:
    return list(tell(window, 0, SCENES, captions=5, swapped=4, noise=0.0))


def things(*names: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(COLOURS.index(c), SHAPES.index(s)) for c, s in (name.split() for name in names))


def scene_of(*objects: tuple[str, int, int]) -> Scene:
    """Large objects by name and centre."""
    kinds = [
        kind_of(COLOURS.index(c), SHAPES.index(s), 1) for c, s in (name.split() for name, _, _ in objects)
    ]
    return Scene(
        "by hand", 640, 480, tuple(kinds), tuple((x - 50, y - 50, x + 50, y + 50) for _, x, y in objects)
    )


def test_every_caption_is_true_of_its_scene(scenes, told):
    for scene, said in zip(scenes, told, strict=True):
        assert len({caption.text for caption in said.captions}) == 5
        for caption in said.captions:
            assert true_of(read(caption.text), scene), (caption.text, scene)


def test_every_swapped_caption_is_false_and_close_to_the_true_one(scenes, told):
    same_words = 0
    for scene, said in zip(scenes, told, strict=True):
        assert len({caption.text for _, caption in said.swapped}) == 4
        for place, false in said.swapped:
            assert not true_of(read(false.text), scene), (false.text, scene)
            true_words = re.findall(r"\w+", said.captions[place].text)
            false_words = re.findall(r"\w+", false.text)
            same_words += sorted(true_words) == sorted(false_words)
            assert len(set(false_words) - set(true_words)) <= 4, (said.captions[place].text, false.text)
    assert same_words > 0.1 * 4 * SCENES, "too few that differ in word order alone"


def test_the_first_caption_is_true_of_its_scene_alone(window, scenes, told):
    for row, said in enumerate(told):
        claim = read(said.captions[0].text)
        assert [other for other, scene in enumerate(scenes) if true_of(claim, scene)] == [row]
    everything = [window.scene(row) for row in range(len(window.kinds_N6))]
    for row in random.Random(0).sample(range(SCENES), 12):
        claim = read(told[row].captions[0].text)
        assert [other for other, scene in enumerate(everything) if true_of(claim, scene)] == [row]


def test_noise_disturbs_a_share_of_the_captions_and_leaves_the_others(window, scenes, told):
    noisy = list(tell(window, 0, SCENES, captions=5, swapped=0, noise=0.4))
    assert noisy[:7] == list(tell(window, 0, 7, captions=5, swapped=0, noise=0.4))
    counts = {"kept": 0, "gaps": 0, "another": 0}
    for scene, clean, said in zip(scenes, told, noisy, strict=True):
        assert not any(clean.noisy)
        for before, after, disturbed in zip(clean.captions, said.captions, said.noisy, strict=True):
            if not disturbed:
                assert after == before
                counts["kept"] += 1
            elif after.form == before.form:
                remaining = iter(before.text.split())
                assert all(word in remaining for word in after.text.split()), "words are lost, none moved"
                counts["gaps"] += 1
            else:
                assert not true_of(read(after.text), scene), (after.text, scene)
                counts["another"] += 1
    total = sum(counts.values())
    assert abs(counts["kept"] / total - 0.6) < 0.05
    assert abs(counts["gaps"] / total - 0.2) < 0.04


def test_other_captions_are_vaguer(scenes, told):
    shared = 0
    for row, said in enumerate(told[:60]):
        claim = read(said.captions[1].text)
        shared += any(true_of(claim, scene) for other, scene in enumerate(scenes) if other != row)
    assert shared > 20


def test_lengths_and_kinds_of_sentences(told):
    texts = [caption.text for said in told for caption in said.captions]
    lengths = [len(text.split()) for text in texts]
    assert 4 <= min(lengths) <= 6 and 20 <= max(lengths) <= 26
    for sign in (
        " left of ",
        " right of ",
        r" (above|over) ",
        r" (below|under) ",
        r"\b(two|three)\b",
        r"\b(no|without)\b",
    ):
        assert sum(re.search(sign, text) is not None for text in texts) > 0.02 * len(texts), sign


def test_word_order_decides():
    scene = scene_of(("red cube", 100, 100), ("blue ball", 400, 120))
    style = Style(0, 0, 1, 0, 0, 0)
    true, false = (
        Form(things("red cube", "blue ball"), ((0, LEFT, 1),)),
        Form(things("blue ball", "red cube"), ((0, LEFT, 1),)),
    )
    assert say(true, style) == "a red cube left of a blue ball"
    assert say(false, style) == "a blue ball left of a red cube"
    for form, truth in ((true, True), (false, False)):
        assert holds(form, scene) is truth
        assert true_of(read(say(form, style)), scene) is truth
    assert not holds(Form(true.things, ((0, ABOVE, 1),)), scene), "20 pixels are too few to be above"
    assert not holds(Form(things("red ball", "blue cube")), scene), "attributes belong to their own objects"


def test_two_things_are_two_objects():
    one = scene_of(("red cube", 100, 100), ("blue ball", 400, 120), ("blue cone", 250, 300))
    two = scene_of(("red cube", 100, 100), ("red cube", 400, 120), ("blue cone", 250, 300))
    twice = Form(things("red cube", "red cube"))
    assert not holds(twice, one) and holds(twice, two)
    exactly = [Form((), (), ((n, things("red cube")[0]),)) for n in range(3)]
    assert [holds(form, one) for form in exactly] == [False, True, False]
    assert [holds(form, two) for form in exactly] == [False, False, True]


def test_uniqueness_agrees_with_looking_at_every_scene(window, told):
    everything = [window.scene(row) for row in range(len(window.kinds_N6))]
    quick = Uniqueness(window)
    for row in range(20):
        for caption in told[row].captions:
            alone = sum(holds(caption.form, scene) for scene in everything) == 1
            assert quick.alone(caption.form, row) is alone


def test_the_vocabulary_holds_every_word(told):
    words = set(vocabulary())
    for said in told:
        for caption in [*said.captions, *(false for _, false in said.swapped)]:
            assert set(re.findall(r"\w+|,", caption.text)) <= words, caption.text
