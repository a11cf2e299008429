"""VCR's situations into examples, and what is said of bad ones."""

import numpy as np
import official_files as made
import pytest
from brought import bring, lines_of, refused
from official_files import write_rows
from small_store import write_named

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.store.store import StoreWriter


def test_a_situation_of_vcr_becomes_two_examples(tmp_path):
    row = made.vcr_row(7)
    path, output = write_rows(tmp_path / "val.jsonl", [row]), tmp_path / "vcr.jsonl"
    metadata = made.write_vcr_metadata(tmp_path / "vcr1images", row)
    store = write_named(tmp_path / "images.h5", "3005_A_FILM_7")
    bring("vcr", "--input", path, "--metadata", metadata, "--output", output, "--data", store)
    answer, rationale = lines_of(output)
    question, won, left = "Why is Casey glad ?", "Casey won .", "Casey and dog and Riley left ."
    assert answer["texts"] == [[question, text] for text in (won, "It rains .", left, "No .")]
    assert rationale["texts"] == [[f"{question} {left}", f"So {choice} ."] for choice in range(4)]
    assert (answer["label"], rationale["label"], rationale["given_answer"]) == (2, 1, 2)
    assert (answer["id"], rationale["id"]) == ("val-7", "val-7-rationale-2")
    assert answer["annot_id"] == rationale["annot_id"] == "val-7" and answer["images"] == ["3005_A_FILM_7"]
    with Corpus([store]) as corpus:
        assert open_examples(output, corpus, "choose").labels_N.tolist() == [2, 1]
    for part, kept in (("answer", answer), ("rationale", rationale)):
        bring("vcr", "--input", path, "--output", output, "--data", store, "--part", part, "--overwrite")
        assert lines_of(output) == [kept]


def test_tags_point_at_the_regions_that_show_what_words_mean(tmp_path, capsys):
    """In a store of another size, in another order, and with one object that no region shows."""
    objects = ["person", "potted plant", "dog", "person"]
    row = made.vcr_row(7, objects=objects, question=["Is", [0, 1], "near", [2], "?"])
    boxes = [[0, 0, 10, 20, 0.9], [20, 4, 40, 20, 0.9], [50, 0, 60, 10, 0.9], [30, 30, 60, 48, 0.9]]
    metadata = made.write_vcr_metadata(tmp_path / "vcr1images", row, boxes=boxes)
    regions = np.array([[40, 8, 80, 41], [0, 0, 60, 90], [0, 0, 20, 40], [60, 62, 118, 96]], np.float32)
    with StoreWriter(tmp_path / "images.h5", 4) as store:
        store.add_image("3005_A_FILM_7", 128, 96, regions, np.ones((4, 4)))
    path, output = write_rows(tmp_path / "val.jsonl", [row]), tmp_path / "vcr.jsonl"
    words = (
        "vcr",
        "--input",
        path,
        "--metadata",
        metadata,
        "--output",
        output,
        "--data",
        tmp_path / "images.h5",
    )
    bring(*words, "--tags")
    assert "3 of 4 objects are shown by a region" in capsys.readouterr().out
    answer, rationale = lines_of(output)
    assert answer["texts"][0][0] == "Is Casey and potted plant near dog ?"
    of_first = [tag[1:] for tag in answer["tags"] if tag[0] == 0]
    assert of_first == [[0, 1, 2], [0, 3, 0], [0, 4, 0], [1, 0, 2]], "no region shows the dog"
    assert [2, 0, 8, 2] in rationale["tags"], "`Casey` of the answer that is given, behind the question"
    with Corpus([tmp_path / "images.h5"]) as corpus:
        assert open_examples(output, corpus, "choose").tags is not None
    output.unlink()
    assert "give both" in refused(capsys, *words[:3], *words[5:], "--tags")
    made.write_vcr_metadata(tmp_path / "vcr1images", row, boxes=[[1, 1, 2, 2, 0.9]] * 4)
    assert "no region of the data shows one of the 4 objects" in refused(capsys, *words, "--tags")


def test_names_of_persons_begin_anew_after_the_last(tmp_path):
    row = made.vcr_row(1, objects=["person"] * 17, question=[[14, 15, 16], "here", "?"])
    path = write_rows(tmp_path / "val.jsonl", [row])
    bring("vcr", "--input", path, "--output", tmp_path / "vcr.jsonl")
    assert lines_of(tmp_path / "vcr.jsonl")[0]["texts"][0][0] == "Quinn and Casey and Riley here ?"


def test_where_no_answer_is_known_rationales_are_asked_given_each(tmp_path):
    row = {name: value for name, value in made.vcr_row(1, "test").items() if not name.endswith("label")}
    path = write_rows(tmp_path / "test.jsonl", [row])
    bring("vcr", "--input", path, "--output", tmp_path / "vcr.jsonl")
    answer, *rationales = lines_of(tmp_path / "vcr.jsonl")
    assert [line["given_answer"] for line in rationales] == [0, 1, 2, 3]
    assert all("label" not in line for line in (answer, *rationales))
    write_rows(path, [made.vcr_row(1)])
    bring("vcr", "--input", path, "--output", tmp_path / "all.jsonl", "--every-answer")
    assert [line.get("label") for line in lines_of(tmp_path / "all.jsonl")] == [2, None, None, 1, None]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"question": ["Why", [3], "?"]}, "line 1, question: the tag 3 points beyond the 3 objects"),
        ({"answer_choices": [["no"]] * 20}, "line 1, answer_choices: 20 choices, and VCR has 4"),
        ({"rationale_choices": [["no"], ["yes"], [], ["so"]]}, "line 1, rationale_choices[2]: []"),
        ({"answer_label": 4}, "line 1, answer_label: 4 is none of the 4 choices"),
        ({"objects": ["person", "dog", "cat"]}, "line 1, objects: 3 of them"),
        ({"metadata_fn": "other.json"}, "line 1, metadata_fn"),
    ],
)
def test_bad_situations_are_refused(tmp_path, capsys, fields, said):
    metadata = made.write_vcr_metadata(tmp_path / "vcr1images", made.vcr_row(1))
    path = write_rows(tmp_path / "val.jsonl", [made.vcr_row(1, **fields)])
    words = ("vcr", "--input", path, "--metadata", metadata, "--output", tmp_path / "a.jsonl")
    assert said in refused(capsys, *words)


@pytest.mark.parametrize(
    "fields",
    [
        {"boxes": [[1, 2, 30, 40, 0.9]] * 6},
        {"boxes": [[1, 2, 30]] * 3},
        {"boxes": [[1, 2, 30, float("nan"), 0.9]] * 3},
        {"width": 0},
        {"height": float("inf")},
        {"names": 3},
    ],
)
def test_metadata_that_say_nothing_of_boxes_are_refused(tmp_path, capsys, fields):
    metadata = made.write_vcr_metadata(tmp_path / "vcr1images", made.vcr_row(1), **fields)
    path = write_rows(tmp_path / "val.jsonl", [made.vcr_row(1)])
    told = refused(capsys, "vcr", "--input", path, "--metadata", metadata, "--output", tmp_path / "a.jsonl")
    assert "line 1, metadata_fn: " in told and "has not the names, a box of each, width" in told


def test_a_row_that_lost_its_label_is_told(tmp_path, capsys):
    row = {name: value for name, value in made.vcr_row(2).items() if name != "answer_label"}
    path = write_rows(tmp_path / "val.jsonl", [made.vcr_row(1), row])
    told = refused(capsys, "vcr", "--input", path, "--output", tmp_path / "a.jsonl")
    assert "line 2, answer_label: this row has rationale_label, and the first one answer_label and" in told
