"""Every fault at every ZeRO stage: on one pair of ranks that runs them all (matrix_worker.py)."""

import json
from pathlib import Path

import pytest
from matrix_worker import CASES
from processes import deepspeed

pytestmark = pytest.mark.thorough
WORKER = Path(__file__).with_name("matrix_worker.py")
STAGES = (0, 1, 2, 3)
SAID = {
    "no_room": "GB are free, and saving step_4 takes",
    "no_folder": "Permission denied",
    "half_written": "No space left on device",
    "unsynced": "Input/output error",
    "unseen": "rank 0 does not see it; let --output-dir lie on a disk that all hosts see",
    "no_state": "No space left on device",
    "no_manifest": "No space left on device",
    "no_fsync": "Input/output error",
    "no_rename": "Input/output error",
}


@pytest.fixture(scope="module")
def matrix(runs, small_disk, request) -> dict:
    """All that the selected tests ask about."""
    chosen = [item.callspec.params for item in request.session.items if item.path == request.path]
    stages = sorted({str(case["stage"]) for case in chosen if "stage" in case})
    damage = [f"{case['what']}-{case['how']}" for case in chosen if "what" in case]
    words = ["--folder", str(runs.folder), "--stages", *stages, "--damaged", *damage]
    words += ["--disk", str(small_disk)] if small_disk else []
    words += [word for setting in runs.settings for word in ("--set", setting)]
    runs.run([*deepspeed(), str(WORKER), *words], seconds=1200)
    return json.loads((runs.folder / "matrix.json").read_text())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_loss_that_is_no_number_on_one_rank_is_skipped_by_all(matrix, stage, precision):
    run = matrix[f"nan_{stage}_{precision}"]
    assert run["status"]["state"] == "finished" and run["codes"] == [0, 0] and run["finite"]
    assert [record["step"] for record in run["bad_steps"]] == [3, 4] and run["skipped"][-1] == 2
    sums = [rank["loss_sums"]["msm"] for rank in run["bad_steps"][0]["ranks"]]
    assert len(sums) == 2 and all(isinstance(value, float) for value in sums)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", STAGES)
def test_numbers_that_stay_bad_on_one_rank_end_all(matrix, stage, precision):
    run = matrix[f"nan_for_ever_{stage}_{precision}"]
    assert run["codes"] == [1, 1] and "3 steps in a row" in run["status"]["reason"]
    assert [record["step"] for record in run["bad_steps"]] == [4, 5, 6]
    assert run["verify"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("fault", "rank"), CASES)
def test_a_save_that_fails_leaves_the_last_one_and_nothing_else(matrix, fault, rank, stage):
    case = matrix[f"{fault}_rank{rank}_zero{stage}"]
    failed, again = case["failed"], case["again"]
    assert failed["codes"] == [1, 1] and failed["status"]["state"] == "failed"
    assert SAID[fault] in failed["status"]["reason"]
    assert failed["checkpoints"] == ["step_2"] and failed["verify"] == [2] and failed["left"] == []
    assert again["codes"] == [0, 0] and again["verify"][-1] == 6
    assert case["equal"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_while_saving(matrix, small_disk, stage):
    if small_disk is None:
        pytest.skip("only root can mount a small disk")
    case = matrix[f"full_disk_zero{stage}"]
    failed, again = case["failed"], case["again"]
    assert failed["codes"] == [1, 1] and "No space left" in failed["status"]["reason"]
    assert failed["checkpoints"] == ["step_2"] and failed["verify"] == [2] and failed["left"] == []
    assert again["codes"] == [0, 0] and case["equal"]


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_holds_for_a_run_on_a_tasks_examples(matrix, stage):
    case = matrix[f"tuned_zero{stage}"]
    failed, again, bad = case["failed"], case["again"], case["bad"]
    assert failed["codes"] == [1, 1] and "No space left on device" in failed["status"]["reason"]
    assert failed["checkpoints"] == ["step_2"] and failed["verify"] == [2] and failed["left"] == []
    assert again["codes"] == [0, 0] and again["verify"][-1] == 6 and case["equal"]
    assert bad["status"]["state"] == "finished" and [record["step"] for record in bad["bad_steps"]] == [3, 4]


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "missing"])
@pytest.mark.parametrize("what", ["part", "state", "manifest"])
def test_a_damaged_checkpoint_is_passed_over(matrix, what, how):
    run = matrix[f"damaged_{what}_{how}"]
    assert run["codes"] == [0, 0] and run["equal"]
    assert (
        "left_1" in run["checkpoints"]
    )  # the damaged one, set aside: the run went on from the one before it


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "missing"])
@pytest.mark.parametrize("what", ["metrics", "settings", "environment", "heartbeat", "events", "export"])
def test_a_run_goes_on_without_what_it_only_writes(matrix, what, how):
    run = matrix[f"damaged_{what}_{how}"]
    assert run["codes"] == [0, 0] and run["equal"] and "left_1" not in run["checkpoints"]
