"""How a batch that a recipe asks for becomes micro-batches, on any machine and for a run's life."""

import re
from pathlib import Path

import numpy as np
import pytest

from interbert.config import Settings, SettingsError, StepSettings
from interbert.corpus.tokens import TokenTable
from interbert.model.shape.shape import Shape
from interbert.recipe import load_recipe
from interbert.train.start.settle import (
    CPU_TOKENS,
    GPU_MEMORY,
    Lengths,
    settle,
    settled_in,
    share_of_ranks,
    tokens_within,
    warnings_of,
)

BASE = Shape.from_preset("base")
GPU_TOKENS = tokens_within(GPU_MEMORY, BASE, "bf16")


def pairs_of(texts, regions, images=None) -> Lengths:
    offsets = np.concatenate([[0], np.cumsum(texts)])
    tokens = TokenTable(np.zeros(offsets[-1], np.int32), offsets)
    images = np.arange(len(texts)) if images is None else images
    return Lengths.of_captions(tokens, images, np.array(regions, np.int32), max_regions=36)


PAIRS = pairs_of([10, 14, 18], [30, 34, 100])
"""48.3 tokens a pair on average, 55 at most."""


def step(ranks, *sets, recipe="interbert_base", tokens=GPU_TOKENS) -> StepSettings:
    return settle(load_recipe(recipe, list(sets)), ranks, tokens, PAIRS)


def pairs_in(step: StepSettings) -> float:
    """About how many a step holds: micro-batches close half a pair early."""
    return step.micro_batches * (step.token_budget - PAIRS.mean / 2) / PAIRS.mean


def test_lengths_of_pairs():
    assert PAIRS.mean == pytest.approx(14 + (30 + 34 + 36) / 3 + 1) and PAIRS.longest == 18 + 36 + 1
    assert pairs_of([10, 14, 18], [20, 30], images=np.array([0, 0, 1])).mean == pytest.approx(14 + 70 / 3 + 1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 6, 8, 16, 48, 64, 256, 512, 1024])
@pytest.mark.parametrize("recipe", ["interbert_base", "interbert_base_released", "imagebert_base"])
@pytest.mark.parametrize("tokens", [CPU_TOKENS, GPU_TOKENS])
def test_the_batch_is_the_same_on_any_machine(recipe, ranks, tokens):
    wanted = int(load_recipe(recipe).train.batch.split()[0])
    if ranks > wanted / 1.5:
        pytest.skip("fewer pairs than ranks: refused, as another test shows")
    found = step(ranks, recipe=recipe, tokens=tokens)
    assert found.micro_batches % ranks == 0 and PAIRS.longest <= found.token_budget <= tokens
    assert pairs_in(found) == pytest.approx(wanted, rel=2 / found.token_budget)
    assert (
        found.micro_batches == ranks
        or pairs_in(found) / (found.micro_batches - ranks) * PAIRS.mean > tokens / 2
    )


def test_the_base_recipe_fills_a_gpu_on_up_to_sixteen_ranks():
    for ranks in (1, 2, 4, 8, 16):
        assert 24_000 <= step(ranks).token_budget <= 131_072


def test_a_gpu_takes_what_fits_into_its_memory():
    of_gigabytes = {gb: tokens_within(gb * 1e9, BASE, "bf16") for gb in (8, 24, 80, 141)}
    assert of_gigabytes[8] < 4096 < of_gigabytes[24] < 32_768 < 98_304 < of_gigabytes[80]
    assert of_gigabytes[141] == 131_072
    for tokens in of_gigabytes.values():
        assert tokens % 1024 == 0
    small = Shape.from_preset("small")
    assert tokens_within(24e9, small, "bf16") > of_gigabytes[24] > tokens_within(24e9, BASE, "fp32")
    assert tokens_within(24e9, BASE, "bf16", recompute=True) > 3 * of_gigabytes[24]
    assert tokens_within(1e9, BASE, "bf16") == 1024


def test_the_table_of_the_docs():
    text = (Path(__file__).parents[4] / "docs" / "recipes.md").read_text()
    rows = re.findall(r"^\| (one|\d+) GPUs? \| (\d+) \| ([\d,]+)", text, re.MULTILINE)
    assert len(rows) == 4
    pairs = pairs_of([16], [36])
    for ranks, micro_batches, tokens in rows:
        found = settle(load_recipe("interbert_base"), int(ranks.replace("one", "1")), GPU_TOKENS, pairs)
        assert found.model_dump() == {
            "micro_batches": int(micro_batches),
            "token_budget": int(tokens.replace(",", "")),
        }


def test_tokens_are_a_batch_as_well():
    found = step(4, "train.batch=100000 tokens")
    assert pairs_in(found) * PAIRS.mean == pytest.approx(100_000, rel=0.01) and found.micro_batches == 4
    assert step(4, "train.batch=100000 tokens", "data.token_budget=5000").micro_batches == 24


def test_a_number_of_micro_batches_said_outright_stands():
    assert step(2, "train.micro_batches=8") == StepSettings(micro_batches=8, token_budget=GPU_TOKENS)
    assert step(2, recipe="scenes") == StepSettings(micro_batches=2, token_budget=1024)


def test_too_many_ranks_are_told_how_many_would_do():
    with pytest.raises(
        SettingsError, match=r"at most \d+ ranks, or set train.batch to '\d+ pairs'"
    ) as caught:
        step(900, recipe="interbert_base_released")
    words = str(caught.value)
    ranks = int(words.split("at most ")[1].split()[0])
    step(ranks, recipe="interbert_base_released")
    with pytest.raises(SettingsError):
        step(ranks + 40, recipe="interbert_base_released")
    enough = words.split("'")[1]
    assert step(900, f"train.batch={enough}", recipe="interbert_base_released").micro_batches == 900


@pytest.mark.parametrize("batch", ["many pairs", "0 pairs", "512", "512 images", "-3 tokens"])
def test_what_is_no_batch(batch):
    with pytest.raises(SettingsError, match=r"train\.batch: .*write '512 pairs', '30000 tokens'"):
        load_recipe("scenes", [f"train.batch={batch}"])


def test_the_later_word_counts(tmp_path):
    assert load_recipe("scenes", ["train.batch=64 pairs"]).train.micro_batches is None
    assert load_recipe("scenes", ["train.batch=64 pairs", "train.micro_batches=4"]).train.micro_batches == 4
    (tmp_path / "mine.yaml").write_text("extends: scenes\nname: mine\ntrain: {batch: 99 pairs}\n")
    assert load_recipe(str(tmp_path / "mine.yaml")).train.micro_batches is None


def test_a_stage_is_not_overruled_and_does_not_overrule_in_silence(tmp_path):
    stages = "[{name: web, data: {train: [a.h5]}, train: {schedule_steps: 9}, objectives: {msm: 1.0}}]"
    (tmp_path / "staged.yaml").write_text(f"extends: scenes\nname: mine\nstages: {stages}\n")
    path = str(tmp_path / "staged.yaml")
    for typed in ("train.schedule_steps=7", "objectives.msm=2"):
        with pytest.raises(SettingsError, match=r"stage 'web' says its own"):
            load_recipe(path, [typed])
    with pytest.raises(SettingsError, match=r"data.train: stage 'web' says its own"):
        load_recipe(path, data={"train": ["b.h5"]})
    assert load_recipe(path, ["train.log_every=3"]).stages[0].train.log_every == 3


def settled(micro_batches) -> Settings:
    now = StepSettings(micro_batches=micro_batches, token_budget=100)
    return load_recipe("scenes").model_copy(update={"step": now})


def test_ranks_share_a_step():
    assert share_of_ranks(settled(8), 2, kept=False) == 4
    with pytest.raises(SettingsError, match=r"8, which 3 ranks.*remainder 2.*6 or 9.*1, 2, 4 or 8 ranks"):
        share_of_ranks(settled(8), 3, kept=False)
    with pytest.raises(SettingsError, match="set it to 4"):
        share_of_ranks(settled(2), 4, kept=False)
    # The step of a run that has begun cannot be set any more.
    with pytest.raises(SettingsError, match=r"step is 12 micro-batches.*start 1, 2, 3, 4, 6 or 12 ranks$"):
        share_of_ranks(settled(12), 5, kept=True)


def test_a_checkpoint_tells_the_step_and_so_does_one_of_an_earlier_version():
    now = StepSettings(micro_batches=12, token_budget=30_000)
    assert settled_in({"step_settings": now.model_dump(), "identity": {}}) == now
    before = {"identity": {"train.micro_batches": 8, "data.token_budget": 3072}}
    assert settled_in(before) == StepSettings(micro_batches=8, token_budget=3072)


def test_what_is_warned_of():
    def warned(micro_batches, tokens, ranks, on_gpu, epoch):
        now = StepSettings(micro_batches=micro_batches, token_budget=tokens)
        settings = load_recipe("interbert_base").model_copy(update={"step": now})
        return warnings_of(settings, ranks, on_gpu, PAIRS, epoch)

    assert warned(8, 20_000, 8, True, 8) == [] == warned(8, 1_000, 8, False, 8)
    (longer,) = warned(8, 20_000, 8, True, 7)
    assert "longer than an epoch, which has 7" in longer
    (thin,) = warned(64, 1_000, 64, True, 999)
    enough = thin.split("'")[1]
    assert step(64, f"train.batch={enough}").token_budget > 20_000
