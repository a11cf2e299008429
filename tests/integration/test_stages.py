"""ZeRO stages and precisions on two real ranks, in one pair of processes that runs many small trainings."""

import json
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("stages_worker.py")


@pytest.fixture(scope="module")
def results(runs) -> dict:
    """name of a training -> what tests/integration/stages_worker.py recorded of it."""
    found = runs.folder / "stages.json"
    store = runs.folder / "stages_data"
    runs.run_ranks([str(WORKER), "--data", str(store), "--output", str(found)])
    one = runs.folder / "stages_one.json"
    runs.run([sys.executable, str(WORKER), "--data", str(store), "--output", str(one)])
    return {"two": json.loads(found.read_text()), "one": json.loads(one.read_text())}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_stage_ends_with_the_weights_of_stage_0(results, stage):
    trained, reference = results["two"][f"zero{stage}_fp32"], results["two"]["zero0_fp32"]
    assert trained["losses"] == pytest.approx(reference["losses"], rel=1e-5)
    assert trained["largest_difference"] < 1e-5 < reference["moved"]


def test_one_rank_and_two_train_alike_with_dropout_on(results):
    one, two = results["one"]["zero0_fp32"], results["two"]["zero0_fp32"]
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    assert one["weights"] == pytest.approx(two["weights"], rel=1e-4, abs=1e-5)
    assert one["pairs"] == two["pairs"]


def test_dropout_is_on(results):
    assert results["one"]["no_dropout"]["losses"] != pytest.approx(
        results["one"]["zero0_fp32"]["losses"], rel=1e-4
    )


def test_accumulating_four_equals_one_large_micro_batch(results):
    four, merged = results["one"]["four_without_dropout"], results["one"]["merged"]
    assert (four["accumulation"], merged["accumulation"]) == (4, 1)
    assert four["losses"] == pytest.approx(merged["losses"], rel=1e-5)
    assert four["weights"] == pytest.approx(merged["weights"], rel=1e-4, abs=1e-5)


def test_in_which_precision_gradients_are_accumulated(results):
    """What ds_configs/README.md says of DeepSpeed: 71.875 would be exact."""
    found = results["one"]["accumulated"]
    assert found["None"] == [64.0, 64.0, 64.0, 64.0]
    refused, *others = found["fp32"]
    assert "unsupported mix" in refused and others == [72.0, 71.875, 71.875]


def test_accumulation_is_shared_by_ranks(results):
    one, two = results["one"]["four_micro_batches"], results["two"]["four_micro_batches"]
    assert (one["accumulation"], two["accumulation"]) == (4, 2)
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    assert one["weights"] == pytest.approx(two["weights"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_trains_at_every_stage(results, stage):
    trained, reference = results["two"][f"zero{stage}_bf16"], results["two"]["zero0_fp32"]
    assert trained["losses"] == pytest.approx(reference["losses"], rel=0.01)
    assert trained["by_objective"]["msm"][-1] < trained["by_objective"]["msm"][0] - 0.02


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_nothing_to_predict_is_an_exact_zero(results, stage):
    trained = results["two"][f"zero{stage}_unmasked"]
    assert trained["by_objective"]["mrm"] == [0.0] * len(trained["losses"])
    assert all(loss > 0 for loss in trained["by_objective"]["itm"])
    assert trained["finite"]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_nothing_to_predict_on_one_rank_breaks_no_stage(results, stage):
    trained, reference = (results["two"][f"zero{s}_last_rank_unmasked"] for s in (stage, 0))
    assert all(loss > 0 for loss in trained["by_objective"]["mrm"])
    assert trained["losses"] == pytest.approx(reference["losses"], rel=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_bad_loss_on_one_rank_is_skipped_by_all(results, stage):
    trained = results["two"][f"zero{stage}_poisoned"]
    assert trained["skipped"] == [False, True, False]
    assert trained["finite"]


def test_lamb_learns(results):
    losses = results["two"]["lamb"]["by_objective"]["msm"]
    assert losses[-1] < losses[0] - 0.02


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(results, stage, precision):
    assert results["two"][f"zero{stage}_resumed"][precision]["equal"]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_full_disk_on_one_rank_is_said_by_all_and_leaves_nothing(results, stage):
    found = results["two"][f"zero{stage}_failing_save"]
    assert all("rank 1: [Errno 28] No space left" in said for said in found["said"])
    assert found["left"] == []


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_bad_loss_is_skipped_in_bf16_as_well(results, stage):
    trained = results["two"][f"zero{stage}_bf16_poisoned"]
    assert trained["skipped"] == [False, True, False] and trained["finite"]


@pytest.mark.parametrize(("before", "after"), [(0, 3), (3, 1), (1, 2), (2, 0)])
def test_training_goes_on_at_another_stage(results, before, after):
    assert results["two"][f"zero{before}_to_zero{after}"]["difference"] < 1e-5
