"""A run that is taken up by other numbers of ranks at other ZeRO stages is still the same run."""

import pytest

from interbert.recipe import read_config

pytestmark = pytest.mark.thorough
SETS = ("train.micro_batches=", "train.batch=1900 tokens")
"""Four micro-batches on one rank, and from then on."""
LEGS = [(1, 0), (2, 1), (4, 2), (4, 3), (2, 0), (1, 3), (4, 0), (2, 2)]
"""(ranks, ZeRO stage), two steps each."""


def test_one_run_on_1_2_and_4_ranks_at_all_stages(runs):
    steps = 2 * len(LEGS)
    runs.python("steady", "--max-steps", str(steps), config="zero0_fp32", sets=SETS)
    for leg, (ranks, stage) in enumerate(LEGS, 1):
        command = runs.command("moving", "--max-steps", str(2 * leg), config=f"zero{stage}_fp32", sets=SETS)
        said = runs.run_ranks(command, number=ranks)
        assert ("resumed from" in said) == (leg > 1) and f"{ranks} rank(s)" in said
    assert runs.losses("moving") == pytest.approx(runs.losses("steady"), rel=2e-4)
    seen = {
        name: [line["samples"] for line in runs.metrics(name) if "samples" in line]
        for name in ("moving", "steady")
    }
    assert seen["moving"] == seen["steady"]
    assert read_config(runs.folder / "moving" / "config.yaml").step.micro_batches == 4
    command = runs.command("moving", config="zero0_fp32", sets=SETS)
    assert "step is 4 micro-batches" in (said := runs.run_ranks(command, number=3, code=1))
    assert "start 1, 2 or 4 ranks" in said and runs.status("moving")["step"] == steps
