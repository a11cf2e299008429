"""What launch/evaluate.py refuses before it opens anything."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "launch" / "evaluate.py"
MODEL = ["--model", "export"]
ALL_PAIRS = ["--task", "retrieval", *MODEL, "--data", "a.h5"]
EXAMPLES = ["--task", "choose", *MODEL, "--examples", "a.jsonl", "--output", "judged"]


@pytest.fixture
def parsed(monkeypatch, tmp_path):
    """The script's arguments of these words."""
    spec = importlib.util.spec_from_file_location("evaluate", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(tmp_path)

    def parse(*words: str):
        monkeypatch.setattr("sys.argv", ["launch/evaluate.py", *words])
        return script.parse_arguments()

    return parse


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*ALL_PAIRS, "--examples", "a.jsonl"], "--examples are of a task: give --task KIND"),
        ([*ALL_PAIRS, "--submission", "a.json"], "--submission is of a task, or of --queries"),
        ([*ALL_PAIRS, "--metric", "auc"], "--metric is of a task: give --task KIND"),
        (["--task", "retrieval", *MODEL], "--model needs --data"),
        (["--task", "choose", *MODEL], "--task choose needs --examples, --output"),
        ([*EXAMPLES, "--folds", "5"], "--folds is of --task retrieval"),
        ([*EXAMPLES, "--split-captions", "all"], "--split-captions is of --task retrieval"),
        ([*ALL_PAIRS, "--shortlist", "9"], "--shortlist and --vectors come together"),
        ([*ALL_PAIRS, "--within-folds"], "--within-folds needs --folds"),
        ([*ALL_PAIRS, "--max-images", "0"], "--max-images must be at least 1"),
        ([*EXAMPLES, "--token-budget", "-3"], "--token-budget must be at least 1"),
    ],
)
def test_what_is_lacking_idle_or_contradictory_is_told(words, told, parsed, capsys):
    with pytest.raises(SystemExit):
        parsed(*words)
    assert told in capsys.readouterr().err


def test_an_output_of_examples_is_a_folder_and_of_retrieval_a_file(parsed, tmp_path):
    assert parsed(*EXAMPLES).output == Path("judged")
    (tmp_path / "judged").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        parsed(*EXAMPLES)
    with pytest.raises(ValueError, match=r"--output is to be a folder"):
        parsed(*EXAMPLES, "--overwrite")
    (tmp_path / "figures").mkdir()
    with pytest.raises(ValueError, match=r"--output is to be a file"):
        parsed(*ALL_PAIRS, "--output", "figures", "--overwrite")


def test_a_submission_is_replaced_when_told_and_an_archive_gathers(parsed, tmp_path):
    for name in ("results.json", "glue.zip"):
        (tmp_path / name).write_text("there")
    assert parsed(*EXAMPLES, "--submission", "glue.zip").submission == Path("glue.zip")
    with pytest.raises(ValueError, match=r"name another --submission"):
        parsed(*EXAMPLES, "--submission", "results.json")
    assert parsed(*EXAMPLES, "--submission", "results.json", "--overwrite").submission
