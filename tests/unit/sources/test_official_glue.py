"""GLUE's tables into examples of text alone, and what is said of bad ones."""

import official_files as made
import pytest
from brought import bring, lines_of, refused
from official_files import write_glue

from interbert.corpus.examples import open_examples
from interbert.sources.official.glue_tasks import TASKS

COLUMNS = {
    "cola": ([3], [1]), "sst2": ([0], [1]), "mrpc": ([3, 4], [3, 4]), "stsb": ([7, 8], [7, 8]),
    "qqp": ([3, 4], [1, 2]), "mnli": ([8, 9], [8, 9]), "qnli": ([1, 2], [1, 2]), "rte": ([1, 2], [1, 2]),
    "wnli": ([1, 2], [1, 2]), "ax": ([], [1, 2]),
}  # fmt: skip
"""Where the texts stand in the official files, from 0: of train and dev, and of test."""


@pytest.mark.parametrize("task", TASKS)
def test_glue_becomes_text_alone(task, tmp_path):
    bring("glue", "--input", write_glue(tmp_path, task), "--task", task, "--output", tmp_path / "out")
    task_ = TASKS[task]
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {split for split, _ in task_.splits}
    kind, classes = ("classify", list(task_.labels)) if task_.labels else ("score", None)
    for path in (tmp_path / "out").iterdir():
        examples = open_examples(path, None, kind, classes)
        cells = made.GLUE[task][3 if path.stem.startswith("test") else 2].split("\t")
        columns = COLUMNS[task][path.stem.startswith("test")]
        assert len(examples) == 1 and list(examples.texts[0]) == [cells[column] for column in columns]
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
    (folder / "dev.tsv").write_text("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t8\n")
    words = ("glue", "--input", folder, "--task", "qqp", "--output", tmp_path / "other")
    bring(*words, code=2)
    told = capsys.readouterr()
    assert f"{tmp_path / 'other' / 'dev.jsonl'}: not written" in told.err and "1 rows: shorter" in told.err
    assert not told.out, "nothing is told of files that did not come to be"


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
