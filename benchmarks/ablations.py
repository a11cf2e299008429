"""The papers' questions, asked small on the embedded scenes: which choice retrieves better after pretraining?

Each variant is trained from several seeds by launch/pretrain.py, one rank on one thread, as many at once as there
are cores, and then measured on held-out scenes. A training that was measured before is not done again, so the whole
can be stopped and taken up at any time. What is compared differs in the named settings only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.ablation_bert import bert_of_captions
from benchmarks.ablation_measures import measure
from interbert.data.scenes.write import write_scenes

ROOT = Path(__file__).resolve().parent.parent
_STAGE = (
    "{kind: %s, layers: %d, heads: 4, intermediate_size: 384, hidden_dropout: 0.0, attention_dropout: 0.0}"
)
_STAGES = ", ".join(_STAGE % stage for stage in (("joint", 2), ("text", 2), ("image", 1)))
FOUR_LAYERS = f"stages: [{_STAGES}]"
"""Words pass four layers, as in the small BERT."""
QUESTIONS: dict[str, dict[str, list[str]]] = {
    "architecture": {
        "InterBERT, 2 joint + 1 + 1": [],
        "single stream, 4 joint": ["model.architecture=visualbert"],
        "co-attention, 1 cross + 1 + 1": ["model.architecture=vilbert"],
    },
    "masks": {
        "segments and overlapping regions": [],
        "single words and regions": [
            "masks.text=mlm",
            "masks.regions=moc",
            "objectives={mlm: 1.0, mrm: 1.0, itm: 1.0}",
        ],
    },
    "mismatches": {
        "random": ["mismatch.hard_share=0"],
        "a fifth by TF-IDF": [],
        "a fifth generated swaps": ["mismatch.hard_share=0", "mismatch.swap_share=0.2"],
    },
    "bert": {
        "from nothing": [f"model.override={{{FOUR_LAYERS}}}"],
        "from a BERT of the captions": [f"model.override={{{FOUR_LAYERS}}}", "model.bert=BERT"],
    },
}
MEASURES = {"r1": "R@1", "r10": "R@10", "swapped": "true above swapped"}


def main() -> None:
    arguments = parse_arguments()
    data = provide_data(arguments.folder, with_bert="bert" in arguments.questions)
    jobs = [
        (question, variant, seed)
        for seed in range(arguments.seeds)
        for question in arguments.questions
        for variant in QUESTIONS[question]
    ]
    with ThreadPoolExecutor(arguments.parallel) as pool:
        list(pool.map(lambda job: train(arguments, data, *job), jobs))
    figures = {q: collect(arguments, q) for q in arguments.questions}
    for question, found in figures.items():
        rows = [[variant, *(_spread(values[name]) for name in MEASURES)] for variant, values in found.items()]
        title = f"{question}: {arguments.steps} steps, {arguments.seeds} seeds, 200 held-out scenes, text to image"
        report.table(title, ["", *MEASURES.values()], rows)
    report.write_json(arguments.json, {"steps": arguments.steps, **figures})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3600, help="of each training's schedule")
    parser.add_argument(
        "--parallel", type=int, default=len(os.sched_getaffinity(0)), help="trainings at once"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/ablations"), help="data, runs and figures so far"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    return parser.parse_args()


def provide_data(folder: Path, with_bert: bool) -> dict[str, Path]:
    """Scenes with two swapped captions each, and where it is asked for a small BERT trained on the captions."""
    data = {split: folder / "data" / f"{split}.h5" for split in ("train", "test")}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, images in (("train", 12000), ("test", 200)):
        if not data[split].exists():
            write_scenes(data[split], images, 1, split=split, swapped=2)
    return data | ({"bert": bert_of_captions(data["train"], folder / "data" / "bert")} if with_bert else {})


def train(
    arguments: argparse.Namespace, data: dict[str, Path], question: str, variant: str, seed: int
) -> None:
    place = result_of(arguments, question, variant, seed)
    if place.exists():
        return
    run = place.with_suffix("")
    settings = [
        "scenes=null",
        f"train.seed={seed}",
        f"train.schedule_steps={arguments.steps}",
        "train.micro_batches=2",
    ]
    settings += [
        "train.export_initial=false",
        f"train.checkpoint_every={arguments.steps}",
        "train.log_every=100",
    ]
    settings += [setting.replace("BERT", str(data.get("bert"))) for setting in QUESTIONS[question][variant]]
    words = [sys.executable, "launch/pretrain.py", "--recipe", "scenes", "--data", str(data["train"])]
    words += ["--deepspeed_config", "ds_configs/cpu.json", "--output-dir", str(run)]
    words += [word for setting in settings for word in ("--set", setting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run.mkdir(parents=True, exist_ok=True)
    with open(run / "log.txt", "a") as log:
        code = subprocess.run(
            words, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
        ).returncode
    if code:
        sys.exit(f"{variant}, seed {seed}: the training failed; see {run / 'log.txt'}")
    place.write_text(json.dumps(measure(run / "export", data["test"])))
    print(f"{question}: {variant}, seed {seed}: {place.read_text()}", flush=True)


def result_of(arguments: argparse.Namespace, question: str, variant: str, seed: int) -> Path:
    # Today's recipe as it is asks the same in several questions: one training serves them all.
    settings = QUESTIONS[question][variant]
    name = f"{question}_{list(QUESTIONS[question]).index(variant)}" if settings else "recipe"
    return arguments.folder / f"steps_{arguments.steps}" / f"{name}_seed{seed}.json"


def collect(arguments: argparse.Namespace, question: str) -> dict[str, dict[str, list[float]]]:
    found = {}
    for variant in QUESTIONS[question]:
        of_seeds = [
            json.loads(result_of(arguments, question, variant, s).read_text()) for s in range(arguments.seeds)
        ]
        found[variant] = {name: [figures[name] for figures in of_seeds] for name in MEASURES}
    return found


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f} %"


if __name__ == "__main__":
    main()
