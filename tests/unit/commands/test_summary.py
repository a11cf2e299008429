import json
import re

import pytest
from made_examples import make_examples, make_outputs

from interbert.commands.summary import summarise
from interbert.tasks.results.results import Origin, write_results


def write(folder, name, text):
    (folder / name).write_text(text)


def test_the_table_holds_first_and_last_losses_and_retrieval(tmp_path):
    write(
        tmp_path,
        "status.json",
        json.dumps({"state": "finished", "step": 20, "reason": "reached step 20 of 20"}),
    )
    lines = [
        {"step": 10, "loss": 5.0, "loss/msm": 4.0, "samples_per_second": 100.0},
        {"step": 10, "validation/loss": 5.5},
        {"step": 20, "loss": 3.0, "loss/msm": 2.25, "samples_per_second": 300.0},
        {"step": 20, "validation/loss": 3.5},
    ]
    write(tmp_path, "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    ways = {
        "text_to_image": {"r1": 0.01, "r5": 0.02, "r10": 0.05},
        "image_to_text": {"r1": 0.0, "r5": 0.1, "r10": 0.2},
    }
    better = {way: {name: value + 0.5 for name, value in figures.items()} for way, figures in ways.items()}
    write(tmp_path, "evaluation.json", json.dumps({"before": ways, "after": better}))
    (tmp_path / "export").mkdir()
    table = [" ".join(line.split()) for line in summarise(tmp_path).splitlines()]
    assert f"{tmp_path}: finished at step 20 (reached step 20 of 20)" in table
    assert "loss/msm 4.000 -> 2.250" in table
    assert "validation/loss 5.500 -> 3.500" in table
    assert "text to image R@1 1.0 % -> 51.0 %" in table
    assert "image to text R@10 20.0 % -> 70.0 %" in table
    assert "pairs/s 300 (median of the logged steps)" in table
    assert f"model {tmp_path / 'export'}" in table
    assert not any(line.startswith("picture") for line in table)


def test_numbers_that_are_none_and_a_line_half_written(tmp_path):
    write(tmp_path, "status.json", json.dumps({"state": "failed", "step": 30, "reason": "killed"}))
    write(
        tmp_path,
        "metrics.jsonl",
        '{"step": 10, "loss": 5.0, "samples_per_second": 100.0}\n'
        '{"step": 20, "loss": null, "validation/loss": NaN, "samples_per_second": null}\n'
        '{"step": 30, "loss": 4.0, "samp',
    )
    table = [" ".join(line.split()) for line in summarise(tmp_path).splitlines()]
    assert "loss 5.000 -> nan" in table and "validation/loss nan -> nan" in table
    assert "pairs/s 100 (median of the logged steps)" in table


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="no status"):
        summarise(tmp_path)


def test_a_run_that_was_fine_tuned(tmp_path):
    write(tmp_path, "status.json", json.dumps({"state": "finished", "step": 9, "reason": "done"}))
    write(tmp_path, "metrics.jsonl", '{"step": 9, "loss": 1.0}\n')
    examples = make_examples("classify", tmp_path, classes=["cat", "dog"], labels=[0, 0, 0, 1] * 10)
    write_results(tmp_path, examples, make_outputs([[0.9, 0.1]] * 40), None, Origin("m", "c", []), "matthews")
    table = [" ".join(line.split()) for line in summarise(tmp_path).splitlines()]
    place = table.index(f"examples 40 of {tmp_path / 'examples.jsonl'}")
    assert table[place + 1] == "Matthews correlation 0.000 (0.000 to 0.000)", "the chosen one first"
    assert re.fullmatch(r"accuracy 75\.0 % \(6\d\.\d % to 8\d\.\d %\)", table[place + 2])
    assert f"page of results {tmp_path / 'results.html'}" in table


def test_a_sweep(tmp_path):
    point = {"name": "learning_rate=1e-5", "values": {}, "mean": 0.75, "deviation": 0.015}
    point["runs"] = [{"state": "finished", "folder": "a"}, {"state": "failed", "folder": "b"}]
    found = {"kind": "choose", "metric": "accuracy", "points": [point], "best": point["name"]}
    write(tmp_path, "sweep.json", json.dumps(found))
    lines = [" ".join(line.split()) for line in summarise(tmp_path).splitlines()]
    assert lines == [
        "accuracy, mean ± deviation over seeds",
        "learning_rate=1e-5 75.0 ± 1.5 % 1 of 2 runs best",
    ]
