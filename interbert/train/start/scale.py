"""What a run would take on many ranks: memory a rank, bytes on the wire a step, and the time that leaves for work.

A small model, with these rules (n parameters, N ranks, A micro-batches accumulated on a rank; docs/cluster.md):

    state     16 bytes a parameter: weights and gradients, and the optimizer's fp32 master and moments. ZeRO 1 shares
              the optimizer's 12 (fp32: 8) among ranks, ZeRO 2 the gradients too, ZeRO 3 the weights too. Averages
              of the weights (train.ema) are 4 bytes more of the optimizer's, and at ZeRO 0 the fp32 sum of gradients.
    wire      bytes that a rank sends and receives in a step, each way, as DeepSpeed does it: ZeRO 0 to 2 give all
              ranks all gradients (two passes over them), ZeRO 2 at every micro-batch; ZeRO 1 and 2 then spread the
              weights (one pass). ZeRO 3 gathers the weights and shares out the gradients in each micro-batch; beyond
              a billion parameters it gathers twice.
    time      work / (work + what the wire takes beyond the backward pass that it overlaps with). Delay is left out.
"""

from dataclasses import dataclass
from typing import Literal

STATE_BYTES = 16
AVERAGE_BYTES = 4
SUM_BYTES = 4
OPTIMIZER_BYTES = {"fp32": 8, "bf16": 12, "fp16": 12}
NUMBER_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
SHARING_OUT = {"nccl": 1, "gloo": 2}
"""Passes of a reduction that leaves each rank its share; gloo gives everything to all."""
KEPT_GATHERED = 1_000_000_000
"""Parameters that ZeRO 3 keeps on a rank from forward to backward (stage3_max_live_parameters)."""
OVERLAPPED = 2 / 3
"""Of a step's work, the share (backward) that communication may hide behind."""

ASSUMED_TFLOPS = {"cuda": 250.0, "cpu": 0.3}
"""What public encoder trainers reach on a recent GPU; two cores in fp32."""


@dataclass(frozen=True)
class Machine:
    ranks: int
    device: Literal["cpu", "cuda"]
    nodes: int = 1
    tflops: float = 0.0
    """Model TFLOP/s of a rank; 0: what is assumed of its device."""
    gigabytes: float = 50.0
    """GB/s between nodes, each way, of a node: 400 Gbit/s."""

    @property
    def work_rate(self) -> float:
        return self.tflops or ASSUMED_TFLOPS[self.device]


@dataclass(frozen=True)
class Estimate:
    stage: int
    state_bytes: float
    wire_bytes: float
    work_seconds: float
    wire_seconds: float

    @property
    def efficiency(self) -> float:
        exposed = max(0.0, self.wire_seconds - OVERLAPPED * self.work_seconds)
        return self.work_seconds / (self.work_seconds + exposed)


def state_bytes(stage: int, parameters: int, precision: str, ranks: int, averages: bool = False) -> float:
    number, optimizer = NUMBER_BYTES[precision], OPTIMIZER_BYTES[precision]
    weights = STATE_BYTES - optimizer - number
    sums = SUM_BYTES if stage == 0 else 0
    parts = (optimizer + averages * AVERAGE_BYTES + sums, number, weights)  # optimizer, gradients, weights
    return parameters * sum(size / ranks if stage > i else size for i, size in enumerate(parts))


def wire_bytes(
    stage: int, parameters: int, precision: str, ranks: int, accumulation: int, backend: str = "nccl"
) -> float:
    """Of a rank, each way: a ring passes all but its own share of what it reduces or spreads."""
    share_out, gathers = SHARING_OUT[backend], 1 if parameters <= KEPT_GATHERED else 2
    passes = {0: 2, 1: 2 + 1, 2: 2 * accumulation + 1, 3: (gathers + share_out) * accumulation}[stage]
    return passes * parameters * NUMBER_BYTES[precision] * (ranks - 1) / ranks


def estimate(
    stage: int,
    parameters: int,
    precision: str,
    accumulation: int,
    operations: float,
    machine: Machine,
    averages: bool = False,
) -> Estimate:
    """`operations`: of a rank in a step. averages: whether averages of the weights are kept."""
    wire = wire_bytes(stage, parameters, precision, machine.ranks, accumulation)
    # A ring through all ranks leaves each node once, so a rank's bytes cross the wire of its node once.
    bandwidth = machine.gigabytes * 1e9 if machine.nodes > 1 else float("inf")
    return Estimate(
        stage,
        state_bytes(stage, parameters, precision, machine.ranks, averages),
        wire,
        operations / (machine.work_rate * 1e12),
        wire / bandwidth,
    )


def describe_scale(
    parameters: int,
    precision: str,
    accumulation: int,
    operations: float,
    machine: Machine,
    averages: bool = False,
) -> list[str]:
    lines = [
        f"scale      {machine.ranks} ranks on {machine.nodes} nodes; {parameters / 1e6:.1f}M parameters; assumed: "
        f"{machine.work_rate:g} model TFLOP/s a rank (--rank-tflops), {machine.gigabytes:g} GB/s a node "
        "(--node-gbps)",
        "           ZeRO   state a rank   sent a rank and step   step      efficiency",
    ]
    for stage in range(4):
        found = estimate(stage, parameters, precision, accumulation, operations, machine, averages)
        seconds = found.work_seconds / found.efficiency
        lines.append(
            f"           {stage:4}   {found.state_bytes / 1e9:9.2f} GB   {found.wire_bytes / 1e9:17.3f} GB   "
            f"{seconds:6.3f} s   {found.efficiency:9.0%}"
        )
    return lines
