"""VQA's official files into examples, and what is said of bad ones."""

import json
import pickle
from pathlib import Path

import pytest
from brought import bring, lines_of, refused
from official_files import vqa_annotation, vqa_question, write_vqa
from small_store import write_named

from interbert.config import TaskSettings


@pytest.fixture
def vqa(tmp_path) -> list[object]:
    """The words that bring nine questions that somebody answered."""
    questions = [vqa_question(number, image=42 + number % 2) for number in range(9)]
    answers = [["red", "red", "red", "red", "Red!", "blue", "the blue"], ["two"], ["a"]]
    annotations = [
        vqa_annotation(number, answers[number // 7], 42 + number % 2, question_type="what colour")
        for number in range(9)
    ]
    files = write_vqa(tmp_path, "val2014", questions, annotations)
    return ["vqa2", "--questions", files[0], "--annotations", files[1], "--output", tmp_path / "vqa.jsonl"]


def test_answers_of_vqa_weigh_what_the_scorer_would_give(vqa, tmp_path):
    bring(*vqa, "--least", 2)
    lines = lines_of(tmp_path / "vqa.jsonl")
    assert lines[0] == {
        "id": 0,
        "images": ["COCO_val2014_000000000042"],
        "texts": ["what is it?"],
        "scores": {"red": 1},
        "answers": ["red", "red", "red", "red", "Red!", "blue", "the blue", "red", "red", "red"],
        "type": "other",
        "question_type": "what colour",
        "official": "vqa2",
    }
    assert [line["scores"] for line in lines[7:]] == [{}, {}], "`two` is said by all: `2` is not right there"
    assert json.loads((tmp_path / "vqa.answers.json").read_text()) == ["2", "red"]


def test_weights_are_those_of_the_papers(tmp_path):
    questions, annotations = [], []
    for agree in range(1, 6):
        questions.append(vqa_question(agree))
        annotations.append(
            vqa_annotation(agree, ["yes"] * agree + ["no", "not sure", "maybe", "perhaps", "so"])
        )
        annotations[-1]["answers"] = [
            {"answer": "yes" if place < agree else f"other {place}", "answer_id": place}
            for place in range(10)
        ]
        annotations[-1]["multiple_choice_answer"] = "yes"
    files = write_vqa(tmp_path, "train2014", questions, annotations)
    bring(
        "vqa2",
        "--questions",
        files[0],
        "--annotations",
        files[1],
        "--output",
        tmp_path / "a.jsonl",
        "--least",
        1,
    )
    assert [line["scores"]["yes"] for line in lines_of(tmp_path / "a.jsonl")] == [0.3, 0.6, 0.9, 1, 1]


def test_an_answer_is_kept_that_is_usual_in_nine_questions(tmp_path):
    questions = [vqa_question(number) for number in range(17)]
    annotations = [vqa_annotation(number, ["yes" if number < 9 else "no"]) for number in range(17)]
    files = write_vqa(tmp_path, "train2014", questions, annotations)
    words = ["vqa2", "--questions", files[0], "--annotations", files[1], "--output", tmp_path / "a.jsonl"]
    bring(*words)
    assert json.loads((tmp_path / "a.answers.json").read_text()) == ["yes"]
    assert len(lines_of(tmp_path / "a.jsonl")) == 17, "to be judged on, all of them"
    bring(*words, "--overwrite", "--only-answerable")
    assert len(lines_of(tmp_path / "a.jsonl")) == 9


@pytest.mark.parametrize("kind", ["list.json", "numbers.json", "lines.txt", "numbers.pkl"])
def test_the_order_of_another_head_is_kept(vqa, tmp_path, kind):
    path, order = tmp_path / kind, ["red", "2", "blue"]
    numbers = {"blue": 2, "2": 1, "red": 0}
    if kind == "lines.txt":
        path.write_text("red\n2\nblue\n")
    elif kind.endswith(".pkl"):
        path.write_bytes(pickle.dumps(numbers, protocol=2))
    else:
        path.write_text(json.dumps(order if kind == "list.json" else numbers))
    bring(*vqa, "--answers", path)
    assert TaskSettings(kind="classify", labels=str(tmp_path / "vqa.answers.json")).labels == order
    assert lines_of(tmp_path / "vqa.jsonl")[0]["scores"] == {"red": 1, "blue": 0.6}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["a", "a"]', "twice"),
        ('{"a": 0, "b": 2}', "0 to 1"),
        ("[1, 2]", "no list of answers"),
        ("[", "JSON"),
    ],
)
def test_a_bad_list_of_answers_is_refused(vqa, tmp_path, capsys, text, said):
    (tmp_path / "answers.json").write_text(text)
    told = refused(capsys, *vqa, "--answers", tmp_path / "answers.json")
    assert "answers.json" in told and said in told


def test_a_list_that_answers_nothing_is_refused_and_how_much_one_leaves_open_is_told(vqa, tmp_path, capsys):
    path = tmp_path / "answers.txt"
    path.write_text("rot\nzwei\n")
    told = refused(capsys, *vqa, "--answers", path)
    assert f"{path}: none of its answers is one of any question" in told
    path.write_text("red\nzwei\n")
    bring(*vqa, "--answers", path)
    assert "2 questions have none of the answers that are kept" in capsys.readouterr().out


def test_answers_of_another_split_are_refused(vqa, tmp_path, capsys):
    other = write_vqa(tmp_path, "train2014", [vqa_question(70)], [vqa_annotation(70, ["yes"])])[1]
    vqa[vqa.index("--annotations") + 1] = other
    told = refused(capsys, *vqa)
    assert str(other) in told and "same split" in told and "9 of 9" in told


def test_bad_questions_and_answers_are_told_by_their_place(vqa, tmp_path, capsys):
    rows = [
        vqa_question(0),
        {"question_id": 1, "image_id": 42},
        vqa_question(0),
        vqa_question(3, image=9),
        {},
    ]
    annotations = [vqa_annotation(number, ["red"]) for number in range(4)]
    write_vqa(tmp_path, "val2014", rows, annotations)
    told = refused(capsys, *vqa)
    for said in (
        "4 of 5 entries",
        "entry 5, question_id",
        "entry 2, question",
        "entry 3",
        "entry 1 too",
        "entry 4, image_id: 9, but 42",
    ):
        assert said in told
    del annotations[2]["answers"][4]["answer"]
    write_vqa(tmp_path, "val2014", rows, annotations)
    assert "entry 3, answer" in refused(capsys, *vqa)
    path = Path(vqa[2])
    path.write_text(path.read_text()[:-20])
    assert "line 1" in (told := refused(capsys, *vqa)) and "cut" in told
    vqa[2] = vqa[4]
    assert "no list 'questions'" in refused(capsys, *vqa)


def test_a_question_in_two_files_is_refused(vqa, tmp_path, capsys):
    (other,) = write_vqa(tmp_path, "train2014", [vqa_question(70), vqa_question(3)], None)
    told = refused(capsys, "vqa2", "--questions", vqa[2], other, "--output", tmp_path / "a.jsonl")
    assert f"{other}: question 3 is in {vqa[2]} too" in told


def test_answers_of_which_nothing_is_left_are_told(tmp_path, capsys):
    files = write_vqa(tmp_path, "val2014", [vqa_question(1)], [vqa_annotation(1, ["a"])])
    words = ["vqa2", "--questions", files[0], "--annotations", files[1], "--output", tmp_path / "a.jsonl"]
    assert "no question has an answer that is left" in refused(capsys, *words)


def test_questions_of_test_sets_need_no_answers(tmp_path):
    (questions,) = write_vqa(tmp_path, "test-dev2015", [vqa_question(5)], None)
    bring("vqa2", "--questions", questions, "--output", tmp_path / "test.jsonl")
    (line,) = lines_of(tmp_path / "test.jsonl")
    assert line["images"] == ["COCO_test2015_000000000042"] and "scores" not in line
    assert not (tmp_path / "test.answers.json").exists()


def test_images_are_found_as_the_store_calls_them(vqa, tmp_path):
    bring(*vqa, "--data", write_named(tmp_path / "images.h5", "42", "COCO_val2014_000000000043.jpg"))
    assert {line["images"][0] for line in lines_of(tmp_path / "vqa.jsonl")} == {
        "42",
        "COCO_val2014_000000000043.jpg",
    }


def test_missing_images_are_listed_and_left_out_only_when_asked(vqa, tmp_path, capsys):
    store = write_named(tmp_path / "images.h5", "42", "7")
    told = refused(capsys, *vqa, "--data", store)
    assert "COCO_val2014_000000000043" in told and "--skip-missing" in told
    bring(*vqa, "--data", store, "--skip-missing")
    assert {line["images"][0] for line in lines_of(tmp_path / "vqa.jsonl")} == {"42"}
    told = capsys.readouterr().out
    assert "4 rows were left out" in told and "COCO_val2014_000000000043" in told
    store = write_named(tmp_path / "others.h5", "7")
    told = refused(capsys, *vqa[:-1], tmp_path / "b.jsonl", "--data", store, "--skip-missing")
    assert "no example is left (9 rows: image is not in the data)" in told
