"""Files of examples: what they say, and what is refused of them."""

import json
import re

import numpy as np
import pytest
from example_files import LINES, write_lines
from small_world import open_world

from interbert.corpus.example_faults import ExamplesError
from interbert.corpus.examples import open_examples


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    with open_world(tmp_path_factory.mktemp("world"), images=20) as corpus:
        yield corpus


@pytest.fixture
def opened(corpus, tmp_path):
    """Opens lines as a file of examples."""

    def open_lines(kind, lines=None, classes=None, corpus=corpus):
        path = write_lines(tmp_path / "examples.jsonl", LINES[kind] if lines is None else lines)
        return open_examples(path, corpus, kind, classes)

    return open_lines


def changed(kind, line=0, **fields):
    """The lines of a kind with fields of one of them changed; ... takes one away."""
    lines = [dict(fields_of) for fields_of in LINES[kind]]
    lines[line] = {k: v for k, v in {**lines[line], **fields}.items() if v is not ...}
    return lines


def pairs_of(examples, corpus):
    """[(image id or None, segments)] of each example."""
    found = []
    for start, stop in zip(examples.first_pair[:-1], examples.first_pair[1:], strict=True):
        images = [corpus.image_id(i) if i >= 0 else None for i in examples.image_P[start:stop]]
        found.append(list(zip(images, [examples.texts[t] for t in examples.text_P[start:stop]], strict=True)))
    return found


def test_classify(opened, corpus):
    found = opened("classify")
    assert found.ids == ["q1", "q2", "3"] and found.types == ["colour", "", ""]
    assert found.classes == ["no", "yes"] and found.labels_N.tolist() == [1, 0, -100]
    assert found.known_N.tolist() == [True, True, False] and found.scores is None
    words = ("w01 w02",)
    assert pairs_of(found, corpus) == [[("0-1", words)], [("1-0", ("w03",))], [("0-1", words)]]
    assert found.texts == [words, ("w03",)], "every text once"
    assert found.pairs_each == 1 and not found.text_only
    assert found.line(0)["source"] == 7 and found.line(2)["id"] == 3


def test_given_classes_say_the_order(opened):
    found = opened("classify", classes=["yes", "maybe", "no"])
    assert found.classes == ["yes", "maybe", "no"] and found.labels_N.tolist() == [0, 2, -100]
    by_number = opened("classify", changed("classify", label=2), ["yes", "maybe", "no"])
    assert by_number.labels_N.tolist() == [2, 2, -100]


def test_classes_by_number(opened):
    lines = [{**line, "label": label} for line, label in zip(LINES["classify"], (0, 12, 3), strict=True)]
    found = opened("classify", lines)
    assert found.classes == [str(n) for n in range(13)] and found.labels_N.tolist() == [0, 12, 3]


def test_weights_of_several_classes(opened):
    scores = [{"red": 1, "blue": 0.3}, {}, {"blue": 0.9}]
    lines = [
        {**line, "label": None, "scores": one} for line, one in zip(LINES["classify"], scores, strict=True)
    ]
    found = opened("classify", lines)
    offsets, classes, weights = found.scores
    assert found.classes == ["blue", "red"] and found.labels_N is None and found.known_N.all()
    assert offsets.tolist() == [0, 2, 2, 3] and classes.tolist() == [1, 0, 0]
    assert weights.tolist() == np.float32([1, 0.3, 0.9]).tolist()


def test_two_images_with_one_text(opened, corpus):
    lines = [{**line, "images": ["0-1", "1-3"]} for line in LINES["classify"]]
    found = opened("classify", lines)
    assert pairs_of(found, corpus)[1] == [("0-1", ("w03",)), ("1-3", ("w03",))] and found.pairs_each == 2


def test_score_of_text_alone(opened, corpus):
    for of in (corpus, None):
        found = opened("score", corpus=of)
        assert found.text_only and (found.image_P == -1).all()
        assert np.array_equal(found.values_N, np.float32([2.5, 4, np.nan]), equal_nan=True)
        assert found.texts == [("w01 w02", "w03"), ("w03", "w01"), ("w03",)]
        assert found.known_N.tolist() == [True, True, False]


def test_choose(opened, corpus):
    found = opened("choose")
    assert found.labels_N.tolist() == [2, 0] and found.pairs_each == 3 and found.classes == []
    assert pairs_of(found, corpus)[1] == [("0-2", tuple(text)) for text in LINES["choose"][1]["texts"]]


def test_match(opened, corpus):
    found = opened("match")
    assert pairs_of(found, corpus)[0] == [("0-1", ("w01",)), ("1-2", ("w01",)), ("0-1", ("w02",))]
    assert found.is_match_P.tolist() == [1, 0, 0, -100] and found.first_pair.tolist() == [0, 3, 4]
    assert found.known_N.tolist() == [True, False] and found.pairs_each is None


def test_point(opened):
    offsets, boxes = opened("point").boxes
    assert offsets.tolist() == [0, 2, 3, 3]
    assert boxes.tolist() == [[10, 20, 30, 40], [0, 0, 5, 5.5], [1, 2, 201, 100]]


def test_blank_lines_a_mark_and_windows_ends_are_no_matter(corpus, tmp_path):
    path, plain = tmp_path / "a.jsonl", write_lines(tmp_path / "b.jsonl", LINES["classify"])
    lines = [json.dumps(line) for line in LINES["classify"]]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join([*lines[:2], "  ", lines[2]]).encode())
    found, same = (open_examples(p, corpus, "classify") for p in (path, plain))
    assert found.ids == same.ids and found.texts == same.texts
    assert [found.line(n) for n in range(3)] == LINES["classify"]
    assert found.fingerprint != same.fingerprint == open_examples(plain, corpus, "classify").fingerprint


def test_a_file_changed_meanwhile_is_noticed(opened):
    found = opened("classify")
    write_lines(found.path, LINES["classify"][::-1])
    with pytest.raises(ExamplesError, match="changed since it was opened"):
        found.line(0)


BAD = {
    "no JSON": ("classify", ["{'id': 1}"], r", line 1, is no JSON \(.*\); write one object a line$"),
    "a list": ("classify", ["[1, 2]"], r", line 1, is no JSON object; each line is one"),
    "no id": ("classify", changed("classify", 1, id=...), r", line 2, id: missing; give"),
    "id twice": ("classify", changed("classify", 2, id="q1"), r", line 3, id: 'q1' is that of line 1 too"),
    "ending": (
        "classify", changed("classify", images=["0-1.jpg"]),
        r", line 1, images: the data has no '0-1.jpg', but '0-1', without the ending; write that",
    ),
    "unknown image": (
        "classify", changed("classify", images=["x"]), r"no 'x', with or without an ending \(it has '0-0'"
    ),
    "a number as image": ("classify", changed("classify", images=[5]), r"images: 5 is no text"),
    "a bare image": ("classify", changed("classify", images="0-1"), r"images: '0-1' is no list; write \['0-1'\]"),
    "three images": (
        "classify", changed("classify", images=["0-1"] * 3), r"images: 3, but .* classify has 0 or 1 or 2"
    ),
    "no image": ("point", changed("point", images=...), r"images: 0, but an example of kind point has 1$"),
    "match without images": ("match", changed("match", images=[]), r"images: missing; match needs at least one"),
    "mixed with text alone": (
        "classify", changed("classify", 1, images=[]),
        r"line 2, images: 0, but 1 in the lines before; a file has as many in each",
    ),
    "no text": ("classify", changed("classify", texts=...), r"texts: missing; write a list"),
    "bare text": ("classify", changed("classify", texts="w01"), r"texts: missing; write a list"),
    "empty text": ("classify", changed("classify", texts=[" "]), r"texts: empty; write a text"),
    "empty segment": ("classify", changed("classify", texts=[["w01", ""]]), r"texts: empty; write a text"),
    "three segments": ("classify", changed("classify", texts=[["a", "b", "c"]]), r"neither a text nor a list of one"),
    "a number as text": ("classify", changed("classify", texts=[3]), r"texts: 3 is neither a text nor"),
    "half a character": ("classify", ['{"id": "a", "images": ["0-1"], "texts": ["\\ud800"]}'], r"half of a char"),
    "segments not nested": (
        "classify", changed("classify", texts=["w01", "w02"]), r"2 texts, .* classify has one; two segments of one"
    ),
    "one choice": ("choose", changed("choose", texts=["w01"]), r"texts: a single choice"),
    "other choices": (
        "choose", changed("choose", 1, texts=["w01"] * 4), r"line 2, texts: 4 choices, but 3 in the lines before"
    ),
    "no such choice": ("choose", changed("choose", label=3), r"label: 3 is none of the 3 choices"),
    "a choice by name": ("choose", changed("choose", label="b"), r"label: 'b' is none of the 3 choices"),
    "a class twice": ("classify", changed("classify", scores={"yes": 1}), r"label: given beside scores"),
    "names and numbers": ("classify", changed("classify", 1, label=1), r"line 2, label: 1 is a number, but a name"),
    "true": ("classify", changed("classify", label=True), r"label: True is no class"),
    "weights in a list": ("classify", changed("classify", label=..., scores=["a"]), r"scores: \['a'\] is no object"),
    "a large weight": ("classify", changed("classify", label=..., scores={"a": 3}), r"scores: 'a' weighs 3"),
    "weights of a few": (
        "classify", changed("classify", label=..., scores={"a": 1}), r"line 2, scores: missing, but 1 lines have them"
    ),
    "no labels": (
        "classify", [{**x, "label": None} for x in LINES["classify"]], r"no line has a label, .* name them in task"
    ),
    "not a number": ("score", ['{"id": "a", "texts": ["b"], "value": NaN}'], r"value: nan is no number"),
    "a number too large": ("score", changed("score", value=10**400), r"is no number; write one"),
    "no pairs": ("match", changed("match", pairs=...), r"pairs: missing; write \[\[image, text, 1 or 0\]"),
    "a pair of names": ("match", changed("match", pairs=[["0-1", 0, 1]]), r"pairs: \['0-1', 0, 1\] is not \[image"),
    "no such image": ("match", changed("match", pairs=[[2, 0, 1]]), r"pairs: \[2, 0, 1\]: the line has 2 images"),
    "no such text": ("match", changed("match", pairs=[[0, -1, 1]]), r"pairs: \[0, -1, 1\]: the line has 2 texts"),
    "half true": ("match", changed("match", pairs=[[0, 0, 2]]), r"the third is 2; write 1"),
    "corner and size": ("point", changed("point", boxes=[[50, 20, 30, 40]]), r"is no list of boxes; write"),
    "one bare box": ("point", changed("point", boxes=[1, 2, 3, 4]), r"is no list of boxes; write"),
    "a box outside": (
        "point", changed("point", boxes=[[10, 20, 300, 40]]), r"beyond its image \(200 x 100\); write corners"
    ),
    "a type by number": ("classify", changed("classify", type=3), r"type: 3 is no text"),
    "empty": ("classify", [], r"no examples; write one a line"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_is_refused(opened, bad):
    kind, lines, message = BAD[bad]
    with pytest.raises(ExamplesError, match=message) as caught:
        opened(kind, lines)
    assert str(caught.value).split(",")[0].split(":")[0].endswith("examples.jsonl")


@pytest.mark.parametrize(
    ("fields", "field"), [({"label": "maybe"}, "label"), ({"scores": {"maybe": 1}}, "scores")]
)
def test_no_class_of_the_given_ones(opened, fields, field):
    lines = changed("classify", **{"label": ..., **fields})
    message = (
        rf"line 1, {field}: 'maybe' is none of the 2 classes \(no, yes\); correct it, or name it in task.lab"
    )
    with pytest.raises(ExamplesError, match=message):
        opened("classify", lines, ["no", "yes"])
    with pytest.raises(ExamplesError, match="label: 2 is none of the 2 classes"):
        opened("classify", changed("classify", label=2), ["no", "yes"])


def test_an_id_that_has_an_ending_in_the_data(tmp_path, corpus, opened, monkeypatch):
    monkeypatch.setattr(type(corpus), "image_of", lambda *_: None)
    monkeypatch.setattr(type(corpus), "image_ids", lambda _: iter(["0-0.png"]))
    with pytest.raises(
        ExamplesError, match=r"the data has no '0-0', but '0-0.png', with an ending; write that"
    ):
        opened("classify", changed("classify", images=["0-0"]))


def test_text_alone_needs_no_data_but_images_do(opened):
    with pytest.raises(ExamplesError, match=r"images: '0-1' is given, but no data; name its store by --data"):
        opened("classify", corpus=None)


def test_many_faults_are_told_together(opened):
    lines = [{"id": str(n), "images": ["0-1"], "texts": ["w01"], "label": 1} for n in range(40)]
    for n in (3, 17):
        lines[n]["texts"] = [""]
    for n in range(20, 30):
        lines[n]["images"] = [f"gone-{n}"]
    with pytest.raises(ExamplesError) as caught:
        opened("classify", lines)
    first, *told = str(caught.value).splitlines()
    assert first.endswith("examples.jsonl: 12 of 40 lines cannot be used")
    assert [int(n) for n in re.findall(r"line (\d+), (?:texts|images): ", "\n".join(told))] == [
        4,
        18,
        21,
        22,
        23,
    ]
    assert told[-1].strip() == "… and 7 more"


@pytest.mark.parametrize("field", ["id", "type", "label", "note"])
def test_half_a_character_anywhere_is_refused(opened, field):
    """Predictions carry all of it along, and are written after hours of training."""
    lines = [*changed("classify", 1, **{field: "x"})]
    lines[1] = json.dumps(lines[1]).replace('"x"', '"x\\udc80"')
    with pytest.raises(ExamplesError, match=rf"line 2, {field}: has half of a character in it \('.udc80'\)"):
        opened("classify", lines)


def test_an_example_knows_its_line(opened):
    """Blank ones count."""
    found = opened("classify", [LINES["classify"][0], "", LINES["classify"][1], LINES["classify"][2]])
    assert [found.where(n).rpartition(", ")[2] for n in range(3)] == ["line 1", "line 3", "line 4"]


def test_no_such_file(corpus, tmp_path):
    with pytest.raises(ExamplesError, match=r"none.jsonl: cannot be read \(No such file"):
        open_examples(tmp_path / "none.jsonl", corpus, "classify")
