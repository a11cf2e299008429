"""Official files into examples that the trainer opens, and what is said of bad ones."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import official_files as made
import pytest
from official_files import vqa_annotation, vqa_question, write_glue, write_rows, write_vqa
from small_store import write_named

from interbert import __main__ as program
from interbert.config import TaskSettings
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.sources.official.glue_tasks import TASKS
from interbert.store.store import StoreWriter

SAMPLES = Path(os.environ.get("INTERBERT_SAMPLES", "-"))


def bring(*words: object, code: int = 0) -> None:
    assert program.main(["import", *map(str, words)]) == code


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def refused(capsys, *words: object) -> str:
    """What is said; nothing is left at the output."""
    bring(*words, code=2)
    output = Path(words[words.index("--output") + 1])
    assert not output.exists() and not list(output.parent.glob(".*partial"))
    return capsys.readouterr().err


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


def test_a_statement_is_about_two_images(tmp_path):
    rows = [
        made.nlvr2_row("dev-3-0-1"),
        made.nlvr2_row("dev-3-1-1", "False"),
        made.nlvr2_row("dev-4-0-0", None),
    ]
    path = write_rows(tmp_path / "dev.json", rows)
    balanced = write_rows(tmp_path / "balanced_dev.json", rows[:1])
    ids = [f"dev-{pair}-img{side}.png" for pair in ("3-0", "3-1", "4-0") for side in (0, 1)]
    output, store = tmp_path / "nlvr2.jsonl", write_named(tmp_path / "images.h5", *ids)
    bring("nlvr2", "--input", path, "--output", output, "--subsets", balanced, "--data", store)
    first, _, last = lines_of(output)
    assert first["images"] == ["dev-3-0-img0.png", "dev-3-0-img1.png"] and first["type"] == "balanced"
    assert last["type"] == "neither" and "label" not in last
    with Corpus([store]) as corpus:
        examples = open_examples(output, corpus, "classify", ["False", "True"])
    assert examples.pairs_each == 2 and examples.labels_N.tolist() == [1, 0, -100]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (made.nlvr2_row("dev-3-2-1", "Ture"), "line 2, label: 'Ture' is none of False, True"),
        (made.nlvr2_row("dev-3-0-1"), "line 2, its id 'dev-3-0-1' is that of line 1 too"),
        (made.nlvr2_row("dev-3-0-img0.png"), "line 2, identifier"),
        ('{"identifier": "dev-3-2-1", "sent', "line 2, is no JSON"),
    ],
)
def test_bad_statements_are_refused(tmp_path, capsys, row, said):
    path = write_rows(tmp_path / "dev.json", [made.nlvr2_row("dev-3-0-1"), row])
    told = refused(capsys, "nlvr2", "--input", path, "--output", tmp_path / "a.jsonl")
    assert str(path) in told and said in told


def test_subsets_of_another_split_are_refused(tmp_path, capsys):
    path = write_rows(tmp_path / "dev.json", [made.nlvr2_row("dev-3-0-1")])
    other = write_rows(tmp_path / "balanced_test1.json", [made.nlvr2_row("test1-3-0-1")])
    told = refused(capsys, "nlvr2", "--input", path, "--subsets", other, "--output", tmp_path / "a.jsonl")
    assert f"{other}: none of its statements is in {path}" in told


def test_a_folder_in_place_of_a_file_is_told(tmp_path, capsys):
    told = refused(capsys, "nlvr2", "--input", tmp_path, "--output", tmp_path / "a.jsonl")
    assert "is a folder; name the file in it" in told


def test_images_are_known_as_the_files_of_others_call_them(tmp_path):
    """UNITER's names, and the numbers of ViLBERT's VCR."""
    made.write_vqa(tmp_path, "val2014", [vqa_question(1)], None)
    made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he")])
    nlvr2 = write_rows(tmp_path / "dev.json", [made.nlvr2_row("dev-3-0-1")])
    ve = write_rows(tmp_path / "ve.jsonl", [made.snli_ve_row(1, "neutral", Flikr30kID="36979.jpg")])
    vcr = write_rows(tmp_path / "val.jsonl", [made.vcr_row(7)])
    for name, words in {
        "coco_val2014_000000000042": ["vqa2", "--questions", tmp_path / "v2_val2014_questions.json"],
        "nlvr2_dev-3-0-img0 nlvr2_dev-3-0-img1": ["nlvr2", "--input", nlvr2],
        "flickr30k_000000036979": ["snli-ve", "--input", ve],
        "1000007": ["vcr", "--input", vcr],
        "vcr_val_3005_A_FILM_7": ["vcr", "--input", vcr],
    }.items():
        store = write_named(tmp_path / "images.h5", *name.split())
        bring(*words, "--output", tmp_path / "x.jsonl", "--data", store, "--overwrite")
        assert lines_of(tmp_path / "x.jsonl")[0]["images"] == name.split()


def test_hypotheses_without_a_label_are_left_out(tmp_path, capsys):
    rows = [made.snli_ve_row(1, "neutral"), made.snli_ve_row(2, "-"), made.snli_ve_row(3, "entailment")]
    rows[2] = {("Flickr30K_ID" if name == "Flikr30kID" else name): value for name, value in rows[2].items()}
    path, output = write_rows(tmp_path / "dev.jsonl", rows), tmp_path / "ve.jsonl"
    bring("snli-ve", "--input", path, "--output", output)
    assert [(line["id"], line["label"]) for line in lines_of(output)] == [
        ("1000092795.jpg#1", "neutral"),
        ("1000092795.jpg#3", "entailment"),
    ]
    assert all(line["images"] == ["1000092795"] for line in lines_of(output))
    assert "1 rows were left out: annotators did not agree" in capsys.readouterr().out


def test_soft_labels_are_shares_of_annotators(tmp_path, capsys):
    said = ["neutral", "neutral", "entailment", "neutral", ""]
    path = write_rows(tmp_path / "dev.jsonl", [made.snli_ve_row(1, "neutral", said)])
    bring("snli-ve", "--input", path, "--output", tmp_path / "ve.jsonl", "--soft")
    (line,) = lines_of(tmp_path / "ve.jsonl")
    assert line["scores"] == {"neutral": 0.75, "entailment": 0.25} and line["gold_label"] == "neutral"
    write_rows(path, [made.snli_ve_row(1, "neutral")])
    words = ("snli-ve", "--input", path, "--output", tmp_path / "other.jsonl", "--soft")
    assert "line 1, annotator_labels" in refused(capsys, *words)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (made.snli_ve_row(1, "netural"), "line 1, gold_label: 'netural'"),
        (made.snli_ve_row(1, "neutral", Flickr30K_ID="7"), "keep one version"),
    ],
)
def test_bad_hypotheses_are_refused(tmp_path, capsys, row, said):
    path = write_rows(tmp_path / "dev.jsonl", [row])
    assert said in refused(capsys, "snli-ve", "--input", path, "--output", tmp_path / "a.jsonl")
    write_rows(path, [{name: value for name, value in row.items() if not name.startswith("Fl")}])
    assert "line 1" in refused(capsys, "snli-ve", "--input", path, "--output", tmp_path / "a.jsonl")


@pytest.mark.parametrize("task", TASKS)
def test_glue_becomes_text_alone(task, tmp_path):
    bring("glue", "--input", write_glue(tmp_path, task), "--task", task, "--output", tmp_path / "out")
    task_ = TASKS[task]
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {split for split, _ in task_.splits}
    kind, classes = ("classify", list(task_.labels)) if task_.labels else ("score", None)
    for path in (tmp_path / "out").iterdir():
        examples = open_examples(path, None, kind, classes)
        cells = made.GLUE[task][3 if path.stem.startswith("test") else 2].split("\t")
        assert len(examples) == 1 and set(examples.texts[0]) <= set(cells)
        assert len(examples.texts[0]) == len(task_.texts)
        assert examples.known_N[0] == (not path.stem.startswith("test"))
        if examples.known_N[0]:
            right = examples.line(0)[("label" if task_.labels else "value")]
            assert cells[{"cola": 1, "mrpc": 0}.get(task, -1)] in (
                right,
                f"{right:.3f}" if kind == "score" else right,
            )


def test_mismatched_files_of_mnli_are_judged_by_themselves(tmp_path):
    bring("glue", "--input", write_glue(tmp_path, "mnli"), "--task", "MNLI", "--output", tmp_path / "out")
    named = {path.stem: lines_of(path)[0]["official"] for path in (tmp_path / "out").iterdir()}
    assert named["test"] == named["dev"] == "glue-mnli" and named["test_mm"] == "glue-mnli-mm"


def test_quotes_and_odd_line_ends_are_words_of_a_table(tmp_path):
    folder = write_glue(tmp_path, "rte")
    header = made.GLUE["rte"][1]["train"]
    (folder / "train.tsv").write_text(
        f'{header}\r\n0\t"Open\tIt said "no\u2028yes\tentailment\r\n', encoding="utf-8", newline=""
    )
    bring("glue", "--input", folder, "--task", "rte", "--output", tmp_path / "out")
    assert lines_of(tmp_path / "out" / "train.jsonl")[0]["texts"] == [['"Open', 'It said "no\u2028yes']]


def test_short_rows_of_qqp_are_left_out(tmp_path, capsys):
    folder = write_glue(tmp_path, "qqp")
    with open(folder / "train.tsv", "a") as file:
        file.write("7\t8\t9\thow\n")
    bring("glue", "--input", folder, "--task", "qqp", "--output", tmp_path / "out")
    assert [line["id"] for line in lines_of(tmp_path / "out" / "train.jsonl")] == ["133273"]
    assert "1 rows were left out" in capsys.readouterr().out


def test_every_row_of_a_test_file_is_asked_for_in_its_place(tmp_path, capsys):
    folder = write_glue(tmp_path, "qqp")
    words = ("glue", "--input", folder, "--task", "qqp", "--output", tmp_path / "out")
    table = folder / "test.tsv"
    header = "id\tquestion1\tquestion2\n"
    for rows, said in (
        ("0\tWho?\n1\ta\tb\n", "line 2, 2 columns of 3"),
        ("0\ta\tb\n2\tc\td\n", "line 3, id: '2', where 1 is due"),
        (f"0\ta\tb\n{header}0\tc\td\n", "line 3, the header again"),
    ):
        table.write_text(header + rows)
        assert said in refused(capsys, *words)
    table.write_text(header.replace("question2", "question1\tquestion2"))
    assert "line 1: the column question1 stands there twice" in refused(capsys, *words)
    table.write_text(header + "0\tWho?\t\n1\ta\tb\n")
    bring(*words)
    assert [line["texts"] for line in lines_of(tmp_path / "out" / "test.jsonl")] == [
        [["Who?", "."]],
        [["a", "b"]],
    ]


def test_bad_tables_are_refused(tmp_path, capsys):
    folder = write_glue(tmp_path, "rte")
    words = ("glue", "--input", folder, "--task", "rte", "--output", tmp_path / "out")
    table = folder / "train.tsv"
    good = table.read_text()
    for bad, said in (
        (good + "1\ta\n", "line 3, 2 columns of 4"),
        (good + "1\ta\tb\tc\td\n", "line 3, 5 columns"),
        (good + "1\ta\tb\tentailed\n", "line 3, label: 'entailed' is none of"),
        (good + "1\t \tb\tentailment\n", "line 3, sentence1: empty"),
        (
            good.replace("sentence2", "hypothesis"),
            "line 1: its columns are index, sentence1, hypothesis, label",
        ),
    ):
        table.write_text(bad)
        assert said in refused(capsys, *words)
    (folder / "dev.tsv").unlink()
    assert "dev.tsv missing" in refused(capsys, *words)


def test_a_folder_of_other_files_is_not_replaced(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    words = ("glue", "--input", write_glue(tmp_path, "rte"), "--task", "rte", "--output", tmp_path / "out")
    bring(*words, "--overwrite", code=2)
    assert "letter.txt" in capsys.readouterr().err and (tmp_path / "out" / "letter.txt").exists()


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
    answer, rationale = lines_of(output)
    assert answer["texts"][0][0] == "Is Casey and potted plant near dog ?"
    of_first = [tag[1:] for tag in answer["tags"] if tag[0] == 0]
    assert of_first == [[0, 1, 2], [0, 3, 0], [0, 4, 0], [1, 0, 2]], "no region shows the dog"
    assert [2, 0, 8, 2] in rationale["tags"], "`Casey` of the answer that is given, behind the question"
    with Corpus([tmp_path / "images.h5"]) as corpus:
        assert open_examples(output, corpus, "choose").tags is not None
    output.unlink()
    assert "give both" in refused(capsys, *words[:3], *words[5:], "--tags")


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


def test_a_row_that_lost_its_label_is_told(tmp_path, capsys):
    row = {name: value for name, value in made.vcr_row(2).items() if name != "answer_label"}
    path = write_rows(tmp_path / "val.jsonl", [made.vcr_row(1), row])
    told = refused(capsys, "vcr", "--input", path, "--output", tmp_path / "a.jsonl")
    assert "line 2, answer_label: this row has rationale_label, and the first one answer_label and" in told


def test_each_phrase_of_a_ref_has_its_box(tmp_path, capsys):
    refs = [
        made.ref(1, "testA", "the man", "left man"),
        made.ref(2, "val", "she"),
        made.ref(3, "testA", "red hat"),
    ]
    folder, output = made.write_refcoco(tmp_path / "refcoco+", refs), tmp_path / "a.jsonl"
    store = write_named(tmp_path / "images.h5", "COCO_train2014_000000000042")
    words = ("refcoco", "--input", folder, "--split", "testA", "--output", output, "--data", store)
    bring(*words)
    lines = lines_of(output)
    assert [(line["id"], line["texts"]) for line in lines] == [
        (10, ["the man"]),
        (11, ["left man"]),
        (30, ["red hat"]),
    ]
    assert lines[0]["boxes"] == [[5.5, 6, 15.5, 9]] and lines[0]["type"] == "person"
    with Corpus([store]) as corpus:
        assert open_examples(output, corpus, "point").known_N.all()
    output.unlink()
    words = ("refcoco", "--input", folder, "--split", "testC", "--output", output)
    assert "no split 'testC'; it has testA, val" in refused(capsys, *words)


def test_boxes_are_shares_where_the_data_knows_no_sizes(tmp_path, capsys):
    folder, output = (
        made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he")]),
        tmp_path / "a.jsonl",
    )
    boxes = np.array([[0.1, 0.1, 0.5, 0.9]], np.float32)
    with StoreWriter(tmp_path / "shares.h5", 4) as store:
        store.add_image("42", 0, 0, boxes, np.ones((1, 4)))
    words = (
        "refcoco",
        "--input",
        folder,
        "--split",
        "val",
        "--output",
        output,
        "--data",
        tmp_path / "shares.h5",
    )
    assert "entry 1, image_id: the data does not know its size" in refused(capsys, *words)
    tree = json.loads((folder / "instances.json").read_text())
    (folder / "instances.json").write_text(
        json.dumps(tree | {"images": [{"id": 42, "width": 20, "height": 8}]})
    )
    bring(*words)
    assert lines_of(output)[0]["boxes"] == [[0.275, 0.75, 0.775, 1]], "cut at the image's edge"
    with Corpus([tmp_path / "shares.h5"]) as corpus:
        assert open_examples(output, corpus, "point").known_N.all()


def test_bad_refs_are_refused(tmp_path, capsys):
    folder = made.write_refcoco(tmp_path / "refcoco+", [made.ref(1, "val", "he", annotation=99)])
    words = ("refcoco", "--input", folder, "--split", "val", "--output", tmp_path / "a.jsonl")
    assert "entry 1, ann_id: 99 is not in instances.json" in refused(capsys, *words)
    made.write_refcoco(folder, [], "refs(umd).p")
    assert "--split-by" in refused(capsys, *words)
    (folder / "refs(umd).p").write_bytes(pickle.dumps(os.getcwd))
    assert "would run code" in refused(capsys, *words, "--split-by", "umd")
    (folder / "instances.json").unlink()
    assert "instances.json missing" in refused(capsys, *words, "--split-by", "unc")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="INTERBERT_SAMPLES names no folder of official files")
def test_real_files(tmp_path):
    vqa = SAMPLES / "vqa"
    questions, annotations = vqa / "v2_questions_sample.json", vqa / "v2_annotations_sample.json"
    bring("vqa2", "--questions", questions, "--annotations", annotations, "--output", tmp_path / "vqa.jsonl")
    assert [line["scores"] for line in lines_of(tmp_path / "vqa.jsonl")] == [
        {"net": 1, "pitcher": 0.3, "orange": 0.3},
        {"pitcher": 1},
        {"orange": 1},
    ]
    nlvr2 = SAMPLES / "nlvr2"
    subsets = (nlvr2 / "balanced_dev.json", nlvr2 / "unbalanced_dev.json")
    bring("nlvr2", "--input", nlvr2 / "dev.json", "--output", tmp_path / "n.jsonl", "--subsets", *subsets)
    types = [line["type"] for line in lines_of(tmp_path / "n.jsonl")]
    assert [types.count(name) for name in ("balanced", "unbalanced", "neither")] == [2300, 3562, 1120]
    bring("snli-ve", "--input", vqa / "snli_ve_sample.jsonl", "--output", tmp_path / "ve.jsonl")
    assert len(lines_of(tmp_path / "ve.jsonl")) == 16
