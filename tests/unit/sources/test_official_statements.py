"""NLVR2's statements and SNLI-VE's hypotheses into examples, and what is said of bad ones."""

import official_files as made
import pytest
from brought import bring, lines_of, refused
from official_files import write_rows
from small_store import write_named

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples


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
        (
            made.nlvr2_row("dev-3-2-1", True),
            "line 2, label: true, which is no text, is none of False, True",
        ),
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
