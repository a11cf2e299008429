"""Examples of the embedded worlds are true, by readers of the tests' own, and only a picture tells."""

import json
import re
from collections import Counter, defaultdict

import pytest
import worlds_by_hand as by_hand
from scenes_by_hand import read

from interbert.__main__ import main
from interbert.corpus.boxes import overlaps_RB
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.sources.scenes.forms import ABOVE, BELOW, LEFT, RIGHT
from interbert.sources.scenes.worlds.text import follows, may_be_sentence
from interbert.sources.scenes.worlds.write import WORLDS, draw_lines, write_examples
from interbert.sources.scenes.write import write_scenes

IMAGES, COUNT = 1500, 400
WITH_PICTURES = [world for world in WORLDS if world != "text"]


@pytest.fixture(scope="module")
def lines():
    return {world: draw_lines(world, COUNT, IMAGES, 3, "validation") for world in WORLDS}


def scene_of(line):
    return by_hand.scene_named(line["images"][0])


def test_answers_are_true(lines):
    assert len({line["type"] for line in lines["vqa"]}) == 8
    assert {line["label"] for line in lines["vqa"] if line["type"] == "count"} == set("0123")
    for line in lines["vqa"]:
        assert by_hand.answer_to(line["texts"][0], scene_of(line)) == line["label"], line


def test_claims_follow_contradict_or_stay_open(lines):
    for line in lines["entailment"]:
        assert by_hand.label_of_claim(line["texts"][0], scene_of(line)) == line["label"], line


def test_statements_are_true_or_false_of_two_scenes(lines):
    assert {line["type"] for line in lines["nlvr2"]} == {"one", "alike", "equal", "sum"}
    for line in lines["nlvr2"]:
        scenes = [by_hand.scene_named(image) for image in line["images"]]
        assert str(by_hand.statement_holds(line["texts"][0], *scenes)) == line["label"], line


def test_phrases_name_one_object_and_its_box(lines):
    assert sum(line["type"] == "relation" for line in lines["referring"]) > COUNT / 4
    for line in lines["referring"]:
        scene = scene_of(line)
        (thing,) = by_hand.found(line["texts"][0].removeprefix("the "), scene)
        assert line["boxes"] == [list(scene.boxes[thing])]
        if line["type"] == "relation":
            subject = re.split(r" (?:to the )?(?:left|right|above|over|below|under) ", line["texts"][0])[0]
            assert len(by_hand.found(subject.removeprefix("the "), scene)) > 1, "the relation is needed"


def test_exactly_one_choice_holds(lines):
    said = {text[1] for line in lines["vcr"] for text in line["texts"][line["label"] :][:1]}
    assert {"there are none", "there is one", "there are two", "there are three"} < said
    for line in lines["vcr"]:
        true = [by_hand.choice_holds(*text, scene_of(line)) for text in line["texts"]]
        assert [place for place, holds in enumerate(true) if holds] == [line["label"]], line


def test_sentences_follow_or_contradict(lines):
    pairs = [line for line in lines["text"] if line["type"] != "order"]
    assert {line["type"] for line in pairs} == {"relation", "attribute"}
    for line in pairs:
        assert by_hand.follows_from(*line["texts"][0]) == (line["label"] == "yes"), line


def test_words_in_order_are_captions_and_in_another_order_none(lines):
    singles = [line for line in lines["text"] if line["type"] == "order"]
    captions = [line["texts"][0] for line in singles if line["label"] == "yes"]
    for text in captions:
        assert read(text.replace(" ,", ",")).nouns
    bags = Counter(tuple(sorted(text.split())) for text in captions)
    jumbled = [line["texts"][0] for line in singles if line["label"] == "no"]
    assert Counter(tuple(sorted(text.split())) for text in jumbled) == bags
    assert not set(jumbled) & set(captions)
    assert not any(may_be_sentence(text.split()) for text in jumbled)
    assert all(_broken(text) for text in jumbled)


def _broken(text: str) -> bool:
    """The reader of captions stumbles over it, or finds something else than nouns and how they stand."""
    try:
        claim = read(text.replace(" ,", ","))
    except AssertionError:
        return True
    articles = len(re.findall(r"\b(?:an?|another)\b", text))
    return len(claim.nouns) != articles or len(claim.nouns) == 0


def test_what_follows_of_three_things_in_a_row():
    row = ((0, LEFT, 1), (2, RIGHT, 1))
    assert follows((0, LEFT, 2), row) is True and follows((2, LEFT, 0), row) is False
    assert follows((2, RIGHT, 0), row) is True
    assert follows((0, LEFT, 2), ((0, LEFT, 1), (0, LEFT, 2))) is True
    assert follows((1, LEFT, 2), ((0, LEFT, 1), (0, LEFT, 2))) is None
    assert follows((0, ABOVE, 1), row) is None and follows((0, BELOW, 1), ((1, ABOVE, 0),)) is True


def test_the_same_words_have_every_answer_equally_often(lines):
    """Each half of this is a reason why a reader who sees no picture is near chance."""
    for world, answers in (("vqa", 2), ("entailment", 3), ("nlvr2", 2)):
        labels = defaultdict(list)
        for line in lines[world][: COUNT // 12 * 12 - 12]:
            labels[line["texts"][0]].append(line["label"])
        whole = [Counter(own) for own in labels.values() if len(own) % answers == 0]
        assert len(whole) > 0.95 * len(labels)
        assert all(len(counts) >= answers for counts in whole), world
        if world != "vqa":  # a question that comes again has other answers
            assert sum(len(set(counts.values())) == 1 for counts in whole) > 0.97 * len(whole)


def test_one_of_two_pictures_says_nothing(lines):
    for side in (0, 1):
        seen = defaultdict(Counter)
        for line in lines["nlvr2"]:
            assert by_hand.scene_named(line["images"][side])
            seen[line["texts"][0], line["parts"][side]][line["label"]] += 1
        even = [counts["True"] == counts["False"] for counts in seen.values()]
        assert sum(even) >= len(even) - 2, "the last statement may be cut off"


def test_tags_point_alike_in_all_choices_and_at_what_is_meant(lines, tmp_path):
    write_scenes(tmp_path / "a.h5", IMAGES // 10, 3, "validation", feature_width=2, captions=1)
    tagged = 0
    with Corpus([tmp_path / "a.h5"]) as corpus:
        store = corpus.stores[0]
        for line in lines["vcr"]:
            tags = line.get("tags", [])
            by_choice = [[tag[1:] for tag in tags if tag[0] == choice] for choice in range(4)]
            assert all(own == by_choice[0] for own in by_choice)
            number = int(line["images"][0].rsplit("-", 1)[1])
            if number >= store.images or not tags:
                continue
            regions = store.read_rows("boxes", *store.offsets[number : number + 2].tolist())
            for segment, word, region in by_choice[0]:
                text = line["texts"][line["label"]][segment]
                (thing,) = _meant(text, word, scene_of(line))
                box = scene_of(line).boxes[thing]
                assert overlaps_RB(regions[region : region + 1], [box])[0, 0] > 0.5
                tagged += 1
    assert tagged > 10


def _meant(text: str, word: int, scene) -> list[int]:
    words = text.split(" , ")[0].removeprefix("what colour is ").removeprefix("what shape is ").split()
    word -= len(text.split(" , ")[0].split()) - len(words)
    nouns = " ".join(words).removeprefix("the ").replace(" is ", " ")
    if word == len(words) - 1:
        return by_hand.found(nouns.rpartition("the ")[2], scene)
    return by_hand.found(nouns, scene)


@pytest.mark.parametrize("world", WORLDS)
def test_examples_are_read_as_their_kind(world, tmp_path):
    write_scenes(tmp_path / "a.h5", 300, 5, feature_width=2, captions=1)
    write_examples(tmp_path / "x.jsonl", world, 30, 300, 5)
    with Corpus([tmp_path / "a.h5"]) as corpus:
        examples = open_examples(tmp_path / "x.jsonl", corpus if world != "text" else None, WORLDS[world][0])
    assert len(examples) == 30 and examples.known_N.all()
    assert examples.text_only == (world == "text")


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_options_give_the_same_lines_and_fewer_are_the_beginning(world):
    long = draw_lines(world, 40, 600, 9, "train")
    assert draw_lines(world, 12, 600, 9, "train") == long[:12]
    assert draw_lines(world, 40, 600, 10, "train") != long
    assert len({line["id"] for line in long}) == 40


def test_too_few_scenes_are_told(monkeypatch):
    monkeypatch.setattr("interbert.sources.scenes.worlds.write._VAIN", 50)
    with pytest.raises(ValueError, match="1 scenes are too few for examples of nlvr2"):
        draw_lines("nlvr2", 10, 1, 1, "train")


def test_the_command_writes_them_and_tells_how_blind_one_may_be(tmp_path, capsys):
    words = ["scenes", "--examples", "nlvr2", "--images", "400", "--count", "120"]
    assert main([*words, "--output", str(tmp_path / "x.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "120 examples" in said and "first picture and words" in said and "the best of these" in said
    kept = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert kept == draw_lines("nlvr2", 120, 400, 1, "train")
    assert main([*words, "--output", str(tmp_path / "x.jsonl")]) == 2, "never over what is there"
    assert main(words) == 2 and "--output FILE" in capsys.readouterr().err
    assert main(["scenes", "--images", "9", "--count", "3", "--output", str(tmp_path / "a.h5")]) == 2
