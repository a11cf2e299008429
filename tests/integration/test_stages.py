"""ZeRO stages and precisions on two real ranks, in one pair of processes that runs many small trainings."""

import json
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("stages_worker.py")
AVERAGES = "test_averages"
"""How the names of tests begin that ask for runs with averages."""


@pytest.fixture(scope="module")
def results(runs, request) -> dict:
    """name of a training -> what tests/integration/stages_worker.py recorded of it, as far as tests ask for it."""
    found = runs.folder / "stages.json"
    store = runs.folder / "stages_data"
    asked = [item for item in request.session.items if item.path == request.path]
    averaged = sorted({item.callspec.params["name"] for item in asked if AVERAGES in item.nodeid})
    adapted = sorted({str(item.callspec.params["stage"]) for item in asked if "adapters" in item.nodeid})
    stages = sorted({str(item.callspec.params["stage"]) for item in asked if item.get_closest_marker("slow")})
    more = ["--stages", *stages, "--averaged", *averaged, "--adapted", *adapted]
    runs.run_ranks([str(WORKER), "--data", str(store), "--output", str(found), *more])
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
    """What ds_configs/README.md says of DeepSpeed itself: 71.875 would be exact."""
    found = results["one"]["accumulated"]
    assert found["None"] == [64.0, 64.0, 64.0, 64.0]
    refused, *others = found["fp32"]
    assert "unsupported mix" in refused and others == [72.0, 71.875, 71.875]


def test_accumulation_is_shared_by_ranks(results):
    one, two = results["one"]["four_micro_batches"], results["two"]["four_micro_batches"]
    assert (one["accumulation"], two["accumulation"]) == (4, 2)
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-5)
    assert one["weights"] == pytest.approx(two["weights"], rel=1e-4, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_trains_at_every_stage(results, stage):
    trained, reference = results["two"][f"zero{stage}_bf16"], results["two"]["zero0_fp32"]
    assert trained["losses"] == pytest.approx(reference["losses"], rel=0.01)
    assert trained["moved"] == pytest.approx(reference["moved"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_nothing_to_predict_is_an_exact_zero(results, stage):
    trained = results["two"][f"zero{stage}_unmasked"]
    assert trained["by_objective"]["mrm"] == [0.0] * len(trained["losses"])
    assert all(loss > 0 for loss in trained["by_objective"]["itm"])
    assert trained["finite"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_nothing_to_predict_on_one_rank_breaks_no_stage(results, stage):
    trained, reference = (results["two"][f"zero{s}_last_rank_unmasked"] for s in (stage, 0))
    assert sum(trained["by_objective"]["mrm"]) > 0  # what the first rank has to predict
    assert trained["losses"] == pytest.approx(reference["losses"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_bad_loss_on_one_rank_is_skipped_by_all(results, stage):
    trained = results["two"][f"zero{stage}_poisoned"]
    assert trained["skipped"] == [False, True, False]
    assert trained["finite"]


def test_lamb_learns(results):
    losses = results["two"]["lamb"]["by_objective"]["msm"]
    assert losses[-1] < losses[0] - 0.02


ENGINES = {
    **dict.fromkeys(["zero0_fp32", "zero0_bf16", "zero0_fp16"], "FlatOptimizer"),
    **{f"zero{s}_{p}": "DeepSpeedZeroOptimizer" for s in (1, 2) for p in ("fp32", "bf16", "fp16")},
    **{f"zero3_{p}": "DeepSpeedZeroOptimizer_Stage3" for p in ("fp32", "bf16", "fp16")},
    "zero2_offload_bf16": "DeepSpeedZeroOptimizer",
    "zero3_offload_bf16": "DeepSpeedZeroOptimizer_Stage3",
    "zero1_bf16_accumulated": "BF16_Optimizer",
    "zero0_fp32+FusedLAMB": "FlatOptimizer",
    "zero0_bf16+FusedLAMB": "FlatOptimizer",
    "zero1_bf16+FusedAdam": "DeepSpeedZeroOptimizer",
}
"""What DeepSpeed makes of each config; behind the + an optimizer of apex."""


def test_every_config_and_every_class_of_deepspeeds_is_among_them(results):
    from interbert.train.engine.wrappers import _known

    assert {name: found["class"] for name, found in results["two"]["engines"].items()} == ENGINES
    configs = {path.stem for path in (WORKER.parents[2] / "ds_configs").glob("*.json")} - {"cpu"}
    assert configs <= ENGINES.keys()
    assert {kind.__name__ for kind in _known()} <= set(ENGINES.values())


@pytest.mark.parametrize("name", ENGINES)
def test_training_begins_with_the_models_weights_and_no_step_taken(results, name):
    found = results["two"]["engines"][name]
    assert found["undecayed"] and found["largest_moment"] == 0 and found["first_step"] == 0


@pytest.mark.parametrize("name", ENGINES)
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(results, name):
    found = results["two"]["engines"][name]
    assert found["equal"]
    assert found["loaded"] == found["saved"] and found["ends"][0] == found["ends"][1]


@pytest.mark.parametrize("name", ENGINES)
def test_steps_are_counted_whoever_counts_them(results, name):
    found = results["two"]["engines"][name]
    skipped = 1 if "fp16" in name else 0
    assert found["saved"]["optimizer_steps"] == 2 - skipped
    assert found["ends"][0]["optimizer_steps"] == 4 - 2 * skipped


@pytest.mark.parametrize("name", [name for name in ENGINES if "fp16" in name])
def test_the_loss_scale_falls_where_numbers_are_bad(results, name):
    """Without ZeRO at each, else at every second: its patience is a part of what is saved."""
    found = results["two"]["engines"][name]
    patient = "zero0" not in name
    assert found["saved"]["scaler"]["cur_scale"] == (4096 if patient else 2048)
    assert found["ends"][1]["scaler"]["cur_scale"] == (2048 if patient else 1024)


@pytest.mark.parametrize("name", ENGINES)
def test_the_gradients_norm_is_that_of_fp32(results, name):
    """Kernels of our own, where the processor has them, draw other dropout: not to the last digit, then."""
    engines = results["two"]["engines"]
    assert engines[name]["norms"][0] == pytest.approx(engines["zero0_fp32"]["norms"][0], rel=0.02)


@pytest.mark.parametrize("name", [name for name in ENGINES if "LAMB" not in name])
def test_a_step_moves_the_weights_as_far_as_in_fp32(results, name):
    engines = results["two"]["engines"]
    assert engines[name]["moved"] == pytest.approx(engines["zero0_fp32"]["moved"], rel=0.02)


AVERAGED = [
    "zero0_fp32",
    "zero1_fp32",
    "zero1_bf16_accumulated",
    "zero3_offload_bf16",
]
AVERAGED = [
    "zero0_bf16",
    "zero2_bf16",
    "zero3_fp32",
    *(pytest.param(n, marks=pytest.mark.thorough) for n in AVERAGED),
]
ADAPTED = [0, 3, *(pytest.param(stage, marks=pytest.mark.thorough) for stage in (1, 2))]


@pytest.mark.parametrize("name", AVERAGED)
def test_averages_follow_the_steps_that_were_taken_and_are_shown_and_put_back(results, name):
    found = results["two"]["averaged"][name]["shown"]
    assert found["difference"] < 1e-6 and found["distance"] > 1e-4
    assert found["loss"] == found["loss_of_such_weights"] != found["loss_before"]
    assert found["restored"] and found["loss_before"] == found["loss_after"]


@pytest.mark.parametrize("name", AVERAGED)
def test_averages_beside_what_is_frozen_stays_and_the_rest_learns(results, name):
    found = results["two"]["averaged"][name]["frozen"]
    assert found == {"frozen_that_moved": [], "others_still": []}


@pytest.mark.parametrize("name", AVERAGED)
def test_averages_and_frozen_parts_are_taken_up_bit_for_bit(results, name):
    found = results["two"]["averaged"][name]
    assert found["resumed"] and found["averages_resumed"]


@pytest.mark.parametrize("stage", ADAPTED)
def test_adapters_alone_learn_and_are_taken_up_bit_for_bit(results, stage):
    found = results["two"]["adapted"][str(stage)]
    assert found["only_adapters_moved"] and found["adapters"] == 3 * 4 * 2 and found["moved"] > 1e-3
    assert found["resumed"] and found["difference"] < 1e-5


@pytest.mark.parametrize("stage", ADAPTED)
def test_adapters_are_exported_merged_and_alone(results, stage):
    found = results["two"]["adapted"][str(stage)]["exported"]
    assert max(found["merged"], found["adapted"]) < 1e-5 and found["base"] > 1e-3


@pytest.mark.parametrize("start", ["seed", "bert", "folder"])
def test_a_model_shared_out_while_it_is_made_is_the_whole_one_bit_for_bit(results, start):
    found = results["two"]["starts"][start]
    assert found["begun"] and found["ended"] and found["moved"] > 1e-4


def test_at_stage_3_no_rank_ever_holds_the_whole_model(results):
    """Of two ranks each keeps half, in bf16: a quarter of the fp32 numbers, and for a moment one tensor more."""
    rise = results["two"]["memory"]
    assert rise["shared_out"] < 0.4 and rise["whole"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_full_disk_on_one_rank_is_said_by_all_and_leaves_nothing(results, stage):
    found = results["two"][f"zero{stage}_failing_save"]
    assert all("rank 1: [Errno 28] No space left" in said for said in found["said"])
    assert found["left"] == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_bad_loss_is_skipped_in_bf16_as_well(results, stage):
    trained = results["two"][f"zero{stage}_bf16_poisoned"]
    assert trained["skipped"] == [False, True, False] and trained["finite"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "precision"), [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (3, "bf16")]
)
def test_recomputed_layers_give_the_same_numbers_at_every_stage(results, stage, precision):
    name = f"zero{stage}_{precision}"
    kept, again = results["two"][name], results["two"][f"{name}_recompute"]
    assert again["losses"] == kept["losses"] and again["weights"] == kept["weights"]
    assert again["recomputes"] and not kept["recomputes"]


@pytest.mark.parametrize(("before", "after"), [(0, 3), (3, 1), (1, 2), (2, 0)])
def test_training_goes_on_at_another_stage(results, before, after):
    assert results["two"][f"zero{before}_to_zero{after}"]["difference"] < 1e-5
