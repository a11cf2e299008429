"""From a model to a folder with a program that says the same."""

import json
import platform
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from interbert.deploy import formats
from interbert.deploy.int8 import quantised
from interbert.deploy.latency import latencies
from interbert.deploy.padded_model import PaddedModel
from interbert.deploy.pairs import Pair
from interbert.deploy.parity import Parity, check, parity
from interbert.files import write_json
from interbert.model.interbert import InterBertForPreTraining

REPORT = "export.json"


@dataclass
class Exported:
    file: str
    format: str
    quantised: str | None
    bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parity: list[Parity]
    latency: list[dict[str, float]]
    machine: str


def export(
    model: InterBertForPreTraining,
    folder: Path,
    kind: str,
    pairs: Sequence[Pair],
    outputs: tuple[str, ...] = (),
    int8: bool = False,
    rounds: int = 10,
) -> Exported:
    """Into an empty folder: the program, the model's configuration, and what was measured of it."""
    whole = PaddedModel(model, outputs)
    file = folder / formats.FILES[kind]
    if int8 and kind == "onnx":
        first = folder / "fp32.onnx"
        formats.write(formats.traced(whole), whole.outputs, first, kind)
        formats.quantise_onnx(first, file)
        for path in folder.glob("fp32.onnx*"):
            path.unlink()
    else:
        leaving = PaddedModel(quantised(deepcopy(model)), outputs) if int8 else whole
        formats.write(formats.traced(leaving), whole.outputs, file, kind)
    run = formats.opened(file, torch.get_num_threads())
    found = parity(whole, run, pairs)
    if not int8:
        check(found)
    taken = latencies(whole, run, pairs, rounds) if rounds else []
    model.config.save_pretrained(folder)
    exported = Exported(
        file=file.name,
        format=kind,
        quantised="int8" if int8 else None,
        bytes=sum(path.stat().st_size for path in folder.glob(f"{file.name}*")),
        inputs=formats.INPUTS,
        outputs=whole.outputs,
        parity=found,
        latency=taken,
        machine=f"{processor()}, {torch.get_num_threads()} threads",
    )
    write_json(folder / REPORT, json.loads(json.dumps(asdict(exported))))
    return exported


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def told(exported: Exported) -> str:
    """As two tables."""
    lines = [
        f"{'output':<28}{'largest difference':>20}{'mean':>12}{'largest number':>16}{'same answers':>14}"
    ]
    for one in exported.parity:
        same = "" if one.same is None else f"{one.same:.1%}"
        lines.append(f"{one.output:<28}{one.largest:>20.2e}{one.mean:>12.2e}{one.scale:>16.3g}{same:>14}")
    if exported.latency:
        lines += ["", exported.machine]
        lines.append(f"{'examples':>8}{'tokens':>8}{'regions':>9}{'model ms':>10}{'export ms':>11}")
        for row in exported.latency:
            lines.append(
                f"{row['examples']:>8}{row['tokens']:>8}{row['regions']:>9}"
                f"{row['model_ms']:>10.1f}{row['export_ms']:>11.1f}"
            )
    return "\n".join(lines)
