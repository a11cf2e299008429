"""What each part left, as rows of the table."""

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gpu_parts.rows import Row, Target

PREDICTIONS = Path(__file__).parents[1] / "attention_predicted.json"
"""Times over the byte floor by the model of the kernel, where they have been recorded: direction, then lengths."""

PRODUCT_PREDICTIONS = Path(__file__).parents[1] / "gelu_product_predicted.json"
"""Seconds apart and within, as benchmarks/gelu_product.py --predict wrote them."""

LENGTHS = {
    "uniform 60-140": "60-140",
    "caption-like (10-22) + 37": "47-59",
    "text stream 10-40": "text",
}
"""Of benchmarks/attention.py those that are foretold and have a target, as the model calls them."""

SHAPE, DROPOUT = "12 x 64", 0.1
"""Those of `base` in training, which predictions and targets are of."""
FLOOR = {"forward": 1.35, "backward": 1.5}
FASTER_THAN_FA2 = 1.5
STEP_TFLOPS = 400.0
STEP_OF_TARGET = 512
"""Pairs."""
RIGHT_FIRST = 0.6
"""Of `make pretrain`: R@1."""
ON_CPUS = "0.715 to 0.755"
"""What the same run came to on CPUs, docs/results.md."""
ALIKE = 0.02
"""By how much of itself a stage's loss may differ from that of stage 0 in the same type, after some dozen steps."""


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


def machine(file: Path) -> list[Row]:
    found = read(file)
    return [
        Row("device copy, read and written", found["copy_bytes_per_second"] / 1e12, "TB/s", 4.3),
        Row("product in bf16", found["products_per_second"] / 1e12, "TFLOP/s", 790.0),
    ]


def kernels(file: Path) -> list[Row]:
    return [Row(f"{file.stem.replace('_', ' ')}, compiled", read(file)["seconds"], "s")]


def primitives(file: Path) -> list[Row]:
    return [Row("single operations", right(read(file)))]


def numbers(file: Path) -> list[Row]:
    return [Row(file.stem.replace("_", " "), right(read(file)))]


def right(found: dict[str, Any]) -> str:
    wrong = len(found["failures"])
    return f"{wrong} wrong" if wrong else "right"


def attention(file: Path) -> list[Row]:
    rows, predicted = [], predictions()
    for case in read(file)["times"]:
        ours, lengths = case["fused"], case["lengths"]
        name = f"attention, {lengths}, {case['shape']}, dropout {case['dropout']:g}"
        judged = (case["shape"], case["dropout"]) == (SHAPE, DROPOUT)
        for direction, limit in FLOOR.items():
            seconds = ours.get(direction)
            over = seconds / case["floor"][direction] if seconds else None
            known = judged and lengths in LENGTHS
            foretold = predicted.get(direction, {}).get(LENGTHS[lengths]) if known else None
            target = Target(limit, at_most=True) if known else None
            rows.append(Row(f"{name}, {direction}", over, "× floor", foretold, target))
        for rival in sorted(set(case) - {"lengths", "shape", "dropout", "tokens", "floor", "fused"}):
            target = Target(FASTER_THAN_FA2) if judged and rival == "FA2 varlen" else None
            rows.append(Row(f"{name}, faster than {rival}", faster(ours, case[rival]), "×", None, target))
    return rows


def faster(ours: dict[str, Any], theirs: dict[str, Any]) -> float | None:
    """Both passes together; None where one of the two could not be had."""
    if "unavailable" in {*ours, *theirs}:
        return None
    return (theirs["forward"] + theirs["backward"]) / (ours["forward"] + ours["backward"])


def predictions() -> dict[str, dict[str, float]]:
    return read(PREDICTIONS) if PREDICTIONS.exists() else {}


def step(file: Path) -> list[Row]:
    whole, found = read(file), read(file)["bf16"]["engine"]
    asked = whole["pairs"]
    what = f"engine's step of {asked} pairs, {'CUDA graphs' if found['graphs'] else 'no graphs'}"
    target = Target(STEP_TFLOPS) if asked == STEP_OF_TARGET else None
    return [
        Row(what, found["model_operations"] / found["seconds"] / 1e12, "TFLOP/s", None, target),
        Row(f"{what}, speed", found["pairs"] / found["seconds"], "pairs/s"),
        *(Row(f"{what}: {part}", 1000 * seconds, "ms") for part, seconds in found["parts"].items()),
    ]


def operations(file: Path) -> list[Row]:
    rows = []
    for name, found in read(file).items():
        if isinstance(found, dict) and "floor" in found:
            times = {by: seconds for by, seconds in found.items() if by != "floor"}
            rows += [
                Row(f"{name}, {by}", seconds / found["floor"], "× floor") for by, seconds in times.items()
            ]
    return rows


def gelu_product(file: Path) -> list[Row]:
    """Of GELU within a product, how many times as fast it is as the two apart."""
    foretold = read(PRODUCT_PREDICTIONS)["seconds"]
    rows = []
    for direction, (apart, within) in read(file)["seconds"].items():
        what, (their, our) = f"GELU within products, {direction}", foretold[direction]
        rows.append(Row(f"{what}, faster than apart", apart / within, "×", their / our, Target(1.0)))
        rows.append(Row(what, 1e6 * within, "us", 1e6 * our))
        rows.append(Row(f"{what}: apart", 1e6 * apart, "us", 1e6 * their))
    return rows


def evaluation(file: Path) -> list[Row]:
    found = read(file)
    rows = [Row(f"evaluation, {way}", median(rates), "pairs/s") for way, rates in found["rates"].items()]
    if whole := found.get("whole"):
        rate = whole["model_operations"] / 1e12
        rows.append(Row("evaluation, the whole matrix", rate, "TFLOP/s", None, Target(STEP_TFLOPS)))
    return rows


def one_rank(file: Path) -> list[Row]:
    found = read(file)
    wrong = len(found["wrong"])
    return [Row(f"{found['backend']}, a group of one", f"{wrong} wrong" if wrong else "right")]


def pretrain(run: Path) -> list[Row]:
    found = read(run / "evaluation.json")["after"]["text_to_image"]
    speeds = [line["samples_per_second"] for line in lines(run) if "samples_per_second" in line]
    return [
        Row("embedded run, R@1 text to image", float(found["r1"]), "", ON_CPUS, Target(RIGHT_FIRST)),
        Row("embedded run, beside other parts", median(speeds), "pairs/s"),
    ]


def stage(run: Path, name: str) -> list[Row]:
    first, *_, last = losses(run)
    if not math.isfinite(last):
        raise ValueError(f"the last loss is {last}")
    return [Row(f"{name}: loss, first and last", f"{first:.4g} to {last:.4g}")]


def stages_alike(runs: dict[str, list[Path]]) -> list[Row]:
    """By how much of itself the last loss of a type differs among stages, at most."""
    rows = []
    for precision, of_stages in runs.items():
        last = [losses(run)[-1] for run in of_stages]
        apart = max(abs(loss - last[0]) for loss in last) / last[0]
        rows.append(
            Row(f"{precision}, last losses of all stages apart", apart, "", None, Target(ALIKE, at_most=True))
        )
    return rows


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in lines(run) if "loss" in line]
