"""Who reasons better: InterBERT, a single stream, or co-attention? On tasks about the embedded scenes.

Each architecture is pretrained once by the recipe `scenes`, and fine-tuned from several seeds on each world, and
also fresh, from nothing: one table, beside the best that can be had without looking. One rank on one thread each, as
many at once as there are cores. What is there is not done again: the whole can be stopped and taken up at any time.
"""

import argparse
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.scripts import run_script
from interbert.config import World
from interbert.files import read_json
from interbert.train.start.flags import add_set_flag

ARCHITECTURES = {
    "interbert": "InterBERT, 2 joint + 1 + 1",
    "visualbert": "single stream, 4 joint",
    "vilbert": "co-attention, 1 cross + 1 + 1",
}
PRETRAINED, FRESH = "pretrained", "fresh"


def main() -> None:
    arguments = parse_arguments()
    beginnings = arguments.beginnings
    report.refuse_other_runs(arguments.folder, {"set": list(arguments.overrides)})
    variants = [(name, beginning) for name in arguments.architectures for beginning in beginnings]
    jobs = [
        (name, beginning, world, seed)
        for seed in range(arguments.seeds)
        for world in arguments.worlds
        for name, beginning in variants
    ]
    with ThreadPoolExecutor(arguments.parallel) as pool:
        if PRETRAINED in beginnings:
            list(pool.map(lambda name: pretrain(arguments, name), arguments.architectures))
        list(pool.map(lambda job: tune(arguments, *job), jobs))
    found = {
        variant: {world: results_of(arguments, *variant, world) for world in arguments.worlds}
        for variant in variants
    }
    title = f"accuracy in per cent over {arguments.seeds} seeds; how many are above the best blind baseline"
    report.table(title, ["", *arguments.worlds], [*rows_of(found), blind_row(found)])
    figures = {f"{ARCHITECTURES[name]}, {beginning}": told for (name, beginning), told in found.items()}
    report.write_json(arguments.json, {"steps": arguments.steps, "figures": figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--worlds", nargs="+", default=["vqa", "nlvr2"], choices=get_args(World))
    add("--architectures", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    add("--seeds", type=int, default=3)
    add("--steps", type=int, default=1500, help="of each fine-tuning")
    add("--beginnings", nargs="+", default=[PRETRAINED, FRESH], choices=(PRETRAINED, FRESH))
    add("--pretraining-steps", type=int, default=3600)
    add_set_flag(parser, "change a setting of all runs")
    add("--parallel", type=int, default=len(os.sched_getaffinity(0)), help="trainings at once")
    add("--folder", type=Path, default=Path("runs/tasks"), help="runs and their results")
    return parser.parse_args()


def pretrain(arguments: argparse.Namespace, name: str) -> None:
    folder = pretrained_in(arguments, name)
    if not (folder / "export").is_dir():
        script, settings = "launch/pretrain.py", pretraining_settings(arguments, name)
        call([script, "--recipe", "scenes", "--output-dir", str(folder)], settings, folder)
        print(f"{name}: pretrained", flush=True)


def tune(arguments: argparse.Namespace, name: str, beginning: str, world: str, seed: int) -> None:
    folder = tuned_in(arguments, name, beginning, world, seed)
    if not (folder / "results.json").exists():
        settings = tuning_settings(arguments, name, beginning, seed)
        if world == "text" and beginning == FRESH:  # pairs of sentences come without the scenes' words
            settings.append(f"data.tokenizer={pretrained_in(arguments, name) / 'export'}")
        script = ["launch/finetune.py", "--recipe", f"scenes_{world}", "--output-dir", str(folder)]
        call(script, settings, folder)
        told = read_json(folder / "results.json")
        print(f"{name}, {beginning}, {world}, seed {seed}: {100 * told['value']:.1f} %", flush=True)


def pretraining_settings(arguments: argparse.Namespace, name: str) -> list[str]:
    """Over the recipe `scenes`."""
    steps = arguments.pretraining_steps
    own = [f"model.architecture={name}", f"train.schedule_steps={steps}"]
    return [*own, f"train.checkpoint_every={steps}", "train.export_initial=false", *arguments.overrides]


def tuning_settings(arguments: argparse.Namespace, name: str, beginning: str, seed: int) -> list[str]:
    """Over the recipe of a world."""
    own = [f"train.schedule_steps={arguments.steps}", f"train.seed={seed}"]
    if beginning == PRETRAINED:
        own.append(f"model.inherit_from={pretrained_in(arguments, name) / 'export'}")
    else:
        own += ["model.inherit_from=null", f"model.architecture={name}"]
    return [*own, f"train.checkpoint_every={arguments.steps}", *arguments.overrides]


def call(words: list[str], settings: list[str], folder: Path) -> None:
    """A launcher's script with these settings."""
    words = [*words, "--deepspeed_config", "cpu"]
    run_script([*words, *(word for setting in settings for word in ("--set", setting))], folder)


def pretrained_in(arguments: argparse.Namespace, name: str) -> Path:
    return arguments.folder / f"pretraining_{arguments.pretraining_steps}" / name


def tuned_in(arguments: argparse.Namespace, name: str, beginning: str, world: str, seed: int) -> Path:
    begun = "nothing" if beginning == FRESH else f"pretraining_{arguments.pretraining_steps}"
    return arguments.folder / f"steps_{arguments.steps}" / f"{world}_{name}_{begun}_seed{seed}"


def results_of(arguments: argparse.Namespace, name: str, beginning: str, world: str) -> list[dict[str, Any]]:
    """Of each seed: value, low and high, and the best blind baseline on the same examples."""
    found = []
    for seed in range(arguments.seeds):
        results = read_json(tuned_in(arguments, name, beginning, world, seed) / "results.json")
        found.append(results["figures"][results["metric"]] | {"blind": results["blind"]})
    return found


def rows_of(found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]]) -> list[list[str]]:
    """Above the blind baseline is who shares no part of its interval."""
    rows = []
    for (name, beginning), told in found.items():
        cells = []
        for seeds in told.values():
            above = sum(each["low"] > each["blind"]["high"] for each in seeds)
            cells.append(f"{_spread([each['value'] for each in seeds])} ({above} of {len(seeds)})")
        rows.append([f"{ARCHITECTURES[name]}, {beginning}", *cells])
    return rows


def blind_row(found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]]) -> list[str]:
    """The same for all: it learns from the same examples."""
    told = next(iter(found.values()))
    return ["best without looking", *(f"{100 * seeds[0]['blind']['value']:.1f}" for seeds in told.values())]


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


if __name__ == "__main__":
    main()
