import json

import pytest

from interbert.commands.summary import summarise


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
