"""Bytes and time on the wire between two hosts, against what a dry run foretells."""

import json
import statistics
from itertools import pairwise
from pathlib import Path

import pytest
from processes import ROOT

from interbert.model.interbert import InterBertForPreTraining
from interbert.train.start.scale import wire_bytes

pytestmark = pytest.mark.cluster
MEGABITS, DELAY = 5, 0.005
PLAIN, NARROW, FAR = range(6, 26), range(30, 46), range(50, 66)
"""Steps measured on the wire as it is, on one of a given rate, and on one with a delay."""
SETS = (
    "train.schedule_steps=100",
    "train.validate_every=100",
    "train.picture_every=100",
    "data.token_budget=256",
)


@pytest.fixture(scope="module")
def wire(hosts):
    if not Path("/dev/net/tun").exists():
        pytest.skip("no tap devices here (/dev/net/tun), which hold back packets")
    try:
        hosts.shape(MEGABITS)
    except AssertionError as error:
        pytest.skip(f"this kernel cannot limit a rate: {error}")
    hosts.unshape()
    return hosts


def measure(hosts, runs, name, stage, micro_batches) -> dict:
    """Of one run: bytes that the first host sends in a step, and seconds that a step takes on each wire."""
    sets = (*SETS, f"train.micro_batches={micro_batches}")
    command = runs.command(name, "--max-steps", "66", "--deepspeed_config", config_of(stage, runs), sets=sets)
    process = runs.start(hosts.deepspeed(command))
    changes = {
        PLAIN[0]: lambda: None,
        PLAIN[-1]: lambda: hosts.shape(MEGABITS),
        NARROW[-1]: lambda: (hosts.unshape(), hosts.delay(DELAY)),
        FAR[-1]: hosts.undelay,
    }
    sent = {}
    for line in process.stdout:
        for step, change in changes.items():
            if f"step {step}/" in line:
                sent[step] = hosts.sent("ibh1")
                change()
    process.communicate(timeout=60)
    assert runs.status(name)["state"] == "finished"
    lines = [line for line in runs.metrics(name) if "tokens_per_second" in line]
    seconds = [0.0, 0.0] + [
        (now["tokens"] - before["tokens"]) / now["tokens_per_second"] for before, now in pairwise(lines)
    ]  # of step 1, 2 …
    found = {
        wire: statistics.median(seconds[step] for step in steps)
        for wire, steps in (("plain", PLAIN), ("narrow", NARROW), ("far", FAR))
    }
    return found | {"bytes": (sent[PLAIN[-1]] - sent[PLAIN[0]]) / (PLAIN[-1] - PLAIN[0])}


def config_of(stage, runs) -> str:
    """As in ds_configs; but at ZeRO 3 DeepSpeed would keep tensors as small as these on every rank."""
    config = json.loads((ROOT / "ds_configs" / f"zero{stage}_fp32.json").read_text())
    if stage == 3:
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    path = runs.folder / f"wire_{stage}.json"
    path.write_text(json.dumps(config))
    return str(path)


@pytest.mark.parametrize(
    ("stage", "accumulation"), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
)
def test_the_wire_carries_what_is_foretold(wire, runs, stage, accumulation, record_property):
    name = f"wire_{stage}_{accumulation}"
    found = measure(wire, runs, name, stage, 2 * accumulation)
    parameters = InterBertForPreTraining.from_pretrained(runs.folder / name / "export").num_parameters()
    foretold = wire_bytes(stage, parameters, "fp32", 2, accumulation, "gloo")
    added, expected = found["narrow"] - found["plain"], foretold * 8 / MEGABITS / 1e6
    trips = (found["far"] - found["plain"]) / (2 * DELAY)
    said = (
        f"ZeRO {stage}, {accumulation} accumulated: {found['bytes']:,.0f} bytes a step, foretold {foretold:,.0f} "
        f"({found['bytes'] / foretold - 1:+.0%}); at {MEGABITS} Mbit/s a step takes {added:.3f} s more, foretold "
        f"{expected:.3f} s ({added / expected - 1:+.0%}); with {1000 * DELAY:.0f} ms each way {trips:.1f} round trips"
    )
    print(said)
    record_property("wire", said)
    assert found["bytes"] == pytest.approx(foretold, rel=0.2), said
    # A step's own work hides behind the wire at best, stands before it at worst; a slow host works on packets too.
    assert 0.9 * max(expected, found["plain"]) < found["narrow"] < 1.3 * expected + 1.5 * found["plain"], said
