"""Bytes and time on the wire between two hosts, against what a dry run foretells."""

import statistics
from itertools import pairwise

import pytest

from interbert.model.interbert import InterBertForPreTraining
from interbert.train.scale import wire_bytes

pytestmark = pytest.mark.cluster
MEGABITS = 20
FIRST, LAST = 6, 26
SETS = (
    "train.schedule_steps=60",
    "train.validate_every=60",
    "train.picture_every=60",
    "data.token_budget=256",
)


def measure(hosts, runs, name, stage, micro_batches) -> dict:
    """Bytes that the first host sends in a step, and seconds that a step takes."""
    sets = (*SETS, f"train.micro_batches={micro_batches}")
    process = runs.start(
        hosts.deepspeed(runs.command(name, "--max-steps", "30", config=f"zero{stage}_fp32", sets=sets))
    )
    sent = {}
    for line in process.stdout:
        for step in (FIRST, LAST):
            if f"step {step}/" in line:
                sent[step] = hosts.sent("ibh1")
    process.communicate(timeout=60)
    lines = [line for line in runs.metrics(name) if "tokens_per_second" in line]
    lengths = [
        (now["tokens"] - before["tokens"]) / now["tokens_per_second"] for before, now in pairwise(lines)
    ]
    seconds = statistics.median(lengths[FIRST:LAST])
    return {"bytes": (sent[LAST] - sent[FIRST]) / (LAST - FIRST), "seconds": seconds}


@pytest.mark.parametrize(("stage", "accumulation"), [(0, 1), (1, 1), (2, 1), (2, 2), (3, 1)])
def test_the_wire_carries_what_is_foretold(hosts, runs, stage, accumulation, record_property):
    name = f"wire_{stage}_{accumulation}"
    fast = measure(hosts, runs, name, stage, 2 * accumulation)
    parameters = InterBertForPreTraining.from_pretrained(runs.folder / name / "export").num_parameters()
    foretold = wire_bytes(stage, parameters, "fp32", 2, accumulation)
    hosts.shape(MEGABITS)
    try:
        slow = measure(hosts, runs, f"{name}_slow", stage, 2 * accumulation)
    finally:
        hosts.unshape()
    added = slow["seconds"] - fast["seconds"]
    said = (
        f"ZeRO {stage}, {accumulation} accumulated: {fast['bytes']:,.0f} bytes a step, foretold {foretold:,.0f} "
        f"({fast['bytes'] / foretold - 1:+.0%}); at {MEGABITS} Mbit/s a step takes {added:.3f} s more, foretold "
        f"{foretold * 8 / MEGABITS / 1e6:.3f} s"
    )
    print(said)
    record_property("wire", said)
    assert fast["bytes"] == pytest.approx(foretold, rel=0.35), said
    assert added == pytest.approx(foretold * 8 / MEGABITS / 1e6, rel=0.5), said
