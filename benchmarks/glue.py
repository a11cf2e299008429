"""GLUE by text alone: BERT itself, InterBERT begun from BERT, and InterBERT after pretraining, in one table.

Those tasks whose official folders are there, each from several seeds, all by the same recipes, examples and scorers.
A run that has its results is not done again, so the whole can be stopped and taken up at any time. Does pretraining
on images and captions take away what BERT knew of language? The third row against the first one says so.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.__main__ import main as run_verb
from interbert.recipe import load_recipe
from interbert.train.start.flags import add_set_flag

ROOT = Path(__file__).resolve().parent.parent
TASKS = {
    "cola": ("CoLA", ("matthews_correlation",)),
    "sst2": ("SST-2", ("accuracy",)),
    "mrpc": ("MRPC", ("accuracy", "f1")),
    "stsb": ("STS-B", ("pearson", "spearmanr")),
    "qqp": ("QQP", ("accuracy", "f1")),
    "mnli": ("MNLI", ("accuracy",)),
    "qnli": ("QNLI", ("accuracy",)),
    "rte": ("RTE", ("accuracy",)),
    "wnli": ("WNLI", ("accuracy",)),
}
"""The folder of each, and the official figures whose mean stands in the table; of MNLI that of its two dev files."""
PUBLISHED = {
    "published: BERT-base-uncased, eval_vl_glue, 3 seeds": (
        54.6, 92.5, 84.8, 88.1, 89.0, 84.4, 91.0, 62.5, 48.8, 77.30,
    ),
    "published: BERT-base-cased, run_glue, one seed": (
        56.53, 92.32, 86.46, 88.56, 89.10, 84.01, 90.66, 65.70, 56.34, 78.85,
    ),
}  # fmt: skip
"""In per cent, in the order of TASKS, and their mean; of several figures the mean. The first were tuned for 5 epochs
in batches of 64, the second as the recipes have it."""
ITSELF, BEGUN, PRETRAINED = "BERT itself", "InterBERT from BERT", "InterBERT pretrained"
MISMATCHED = "dev_mm"


def main() -> None:
    arguments = parse_arguments()
    tasks = [task for task in arguments.tasks if (arguments.glue / TASKS[task][0]).is_dir()]
    for task in sorted(set(arguments.tasks) - set(tasks)):
        print(f"{task}: {arguments.glue / TASKS[task][0]} is not there; left out", flush=True)
    systems = [ITSELF, BEGUN, *([PRETRAINED] if arguments.pretrained else [])]
    # A pretrained one may come later.
    asked = {"bert": arguments.bert, "pretrained": arguments.pretrained, "set": list(arguments.overrides)}
    report.refuse_other_runs(arguments.folder, asked)
    for task in tasks:
        bring(arguments, task)
        for seed in range(arguments.seeds):
            for system in systems:
                run(arguments, system, task, seed)
    figures = {system: {task: figures_of(arguments, system, task) for task in tasks} for system in systems}
    title = f"GLUE, dev sets, {arguments.seeds} seeds: per cent, mean ± deviation"
    header = ["", *(TASKS[task][0] for task in tasks), "mean"]
    report.table(title, header, [*rows_of(figures), *published(tasks)])
    report.write_json(arguments.json, {"seeds": arguments.seeds, "figures": figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    add = parser.add_argument
    add(
        "--glue",
        type=Path,
        default=Path("glue_data"),
        help="holds the tasks' official folders: CoLA, SST-2, …",
    )
    add("--bert", default="bert-base-uncased", help="a BERT's directory, or its name at the hub")
    add("--pretrained", metavar="DIR", help="an InterBERT that was pretrained; without, its row is left out")
    add("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    add("--seeds", type=int, default=5)
    add_set_flag(parser, "change a setting of all runs")
    add(
        "--deepspeed_config",
        default="ds_configs/zero0_bf16.json",
        help="of InterBERT's runs; on a CPU cpu.json",
    )
    add("--launcher", default=sys.executable, help="what starts launch/finetune.py, such as deepspeed")
    add("--folder", type=Path, default=Path("runs/glue"), help="examples, runs and their results")
    return parser.parse_args()


def bring(arguments: argparse.Namespace, task: str) -> None:
    """Its official files as examples."""
    output = examples_of(arguments, task)
    if output.is_dir():
        return
    folder = arguments.glue / TASKS[task][0]
    words = ["import", "glue", "--input", str(folder), "--task", task, "--output", str(output)]
    if run_verb(words):
        raise SystemExit(2)


def run(arguments: argparse.Namespace, system: str, task: str, seed: int) -> None:
    folder = run_of(arguments, system, task, seed)
    if (done := folder / "done.json").exists():
        return
    examples, others = examples_of(arguments, task), {}
    if task == "mnli":
        others[MISMATCHED] = examples / f"{MISMATCHED}.jsonl"
    overrides = [*arguments.overrides, f"train.seed={seed}"]
    if system == ITSELF:
        from benchmarks.glue_bert import bert_itself

        given = {"examples": str(examples / "train.jsonl"), "validation": str(examples / "dev.jsonl")}
        sections = {"task": given, "model": {"bert": arguments.bert}}
        bert_itself(load_recipe(f"glue_{task}", overrides, **sections), folder, others)
    else:
        begin = ["--model", arguments.pretrained] if system == PRETRAINED else []
        overrides += [] if system == PRETRAINED else [f"model.bert={arguments.bert}"]
        command = [arguments.launcher, str(ROOT / "launch/finetune.py"), "--recipe", f"glue_{task}", *begin]
        command += ["--examples", str(examples / "train.jsonl"), "--validation", str(examples / "dev.jsonl")]
        command += ["--output-dir", str(folder), "--deepspeed_config", arguments.deepspeed_config]
        call([*command, *(word for each in overrides for word in ("--set", each))], folder)
        for name, path in others.items():
            command = [sys.executable, str(ROOT / "launch/evaluate.py"), "--task", "classify"]
            command += ["--model", str(folder / "export"), "--examples", str(path)]
            call([*command, "--output", str(folder / name), "--overwrite"], folder)
    found = [json.loads((folder / name / "results.json").read_text()) for name in ("", *others)]
    done.write_text(json.dumps([each["official"]["figures"] for each in found]))
    print(f"{system}, {task}, seed {seed}: {done.read_text()}", flush=True)


def call(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "a") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed; see {folder / 'log.txt'}")


def examples_of(arguments: argparse.Namespace, task: str) -> Path:
    return arguments.folder / "examples" / task


def run_of(arguments: argparse.Namespace, system: str, task: str, seed: int) -> Path:
    return arguments.folder / system.replace(" ", "_") / f"{task}_seed{seed}"


def figures_of(arguments: argparse.Namespace, system: str, task: str) -> list[float]:
    """Of each seed, in per cent: the mean of the task's official figures. A correlation that is not defined is 0."""
    found = []
    for seed in range(arguments.seeds):
        files = json.loads((run_of(arguments, system, task, seed) / "done.json").read_text())
        found.append(100 * statistics.fmean(file[name] or 0.0 for file in files for name in TASKS[task][1]))
    return found


def rows_of(figures: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """The mean of a row is that of its tasks, for each seed, and then over the seeds."""
    return [
        [
            system,
            *map(_told, found.values()),
            _told([statistics.fmean(row) for row in zip(*found.values(), strict=True)]),
        ]
        for system, found in figures.items()
    ]


def published(tasks: list[str]) -> list[list[str]]:
    """A mean only where all tasks are there."""
    places = [list(TASKS).index(task) for task in tasks]
    return [
        [
            name,
            *(f"{row[place]:.2f}" for place in places),
            f"{row[-1]:.2f}" if len(tasks) == len(TASKS) else "–",
        ]
        for name, row in PUBLISHED.items()
    ]


def _told(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "–"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main()
