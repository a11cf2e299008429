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
from benchmarks.ablation_measures import MEASURES
from interbert.sources.scenes.write import write_scenes

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
        "from it, all at one rate": [
            f"model.override={{{FOUR_LAYERS}}}",
            "model.bert=BERT",
            "train.inherited_rate=1.0",
        ],
    },
    "stages": {
        "clean captions": ["data.train=[CLEAN]"],
        "clean captions, twice as long": ["data.train=[CLEAN]", "train.schedule_steps=TWICE"],
        "noisy captions": ["data.train=[NOISY]"],
        "noisy, then clean": [
            "stages=[{name: noisy, data: {train: [NOISY]}}, {name: clean, data: {train: [CLEAN]}}]"
        ],
    },
}
"""Settings by question and variant. Words in capitals stand for what is made or known at the start."""


def main() -> None:
    arguments = parse_arguments()
    words = provide_data(arguments.folder, arguments.questions) | {"TWICE": 2 * arguments.steps}
    jobs = [
        (question, variant, seed)
        for seed in range(arguments.seeds)
        for question in arguments.questions
        for variant in QUESTIONS[question]
    ]
    with ThreadPoolExecutor(arguments.parallel) as pool:
        list(pool.map(lambda job: train(arguments, words, *job), jobs))
    figures = {q: collect(arguments, q) for q in arguments.questions}
    for question, found in figures.items():
        rows = [[variant, *(_spread(values[name]) for name in MEASURES)] for variant, values in found.items()]
        title = f"{question}: {arguments.steps} steps, {arguments.seeds} seeds, 200 held-out scenes"
        report.table(title, ["", *MEASURES.values()], rows)
    report.write_json(arguments.json, {"steps": arguments.steps, **figures})


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3600, help="of each training's schedule")
    parser.add_argument(
        "--parallel", type=int, default=len(os.sched_getaffinity(0)), help="trainings at once"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/ablations"), help="data, runs and figures so far"
    )
    return parser.parse_args()


def provide_data(folder: Path, questions: list[str]) -> dict[str, object]:
    """Scenes by the words of the settings, and where it is asked for a small BERT trained on their captions."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    made = {
        "TRAIN": (12000, {"swapped": 2}),
        "TEST": (200, {"split": "test", "swapped": 15}),
        "CLEAN": (1500, {}),
        "NOISY": (12000, {"seed": 2, "noise": 0.6}),
    }
    words: dict[str, object] = {word: folder / "data" / f"{word.lower()}.h5" for word in made}
    for word, (images, options) in made.items():
        if not words[word].exists():
            write_scenes(words[word], images, **{"seed": 1, **options})
    if "bert" in questions:
        words["BERT"] = bert_of_captions(words["TRAIN"], folder / "data" / "bert")
    return words


def train(
    arguments: argparse.Namespace, words: dict[str, object], question: str, variant: str, seed: int
) -> None:
    place = result_of(arguments, question, variant, seed)
    if place.exists():
        return
    run = place.with_suffix("")
    settings = settings_of(question, variant, seed, arguments.steps, words)
    command = [sys.executable, "launch/pretrain.py", "--recipe", "scenes", "--output-dir", str(run)]
    command += ["--deepspeed_config", "ds_configs/cpu.json"]
    command += [part for setting in settings for part in ("--set", setting)]
    run.mkdir(parents=True, exist_ok=True)
    call(command, run / "log.txt")
    measured = call(
        [sys.executable, "benchmarks/ablation_measures.py", str(run / "export"), str(words["TEST"])],
        run / "log.txt",
    )
    place.write_text(measured.splitlines()[-1])
    print(f"{question}: {variant}, seed {seed}: {place.read_text()}", flush=True)


def settings_of(question: str, variant: str, seed: int, steps: int, words: dict[str, object]) -> list[str]:
    """Of a training, over the recipe `scenes`; words: what those in capitals stand for."""
    settings = [
        "scenes=null",
        "data.train=[TRAIN]",
        f"train.seed={seed}",
        f"train.schedule_steps={steps}",
        "train.micro_batches=2",
        "train.export_initial=false",
        f"train.checkpoint_every={steps}",
        "train.log_every=100",
    ] + QUESTIONS[question][variant]
    for word, value in words.items():
        settings = [setting.replace(word, str(value)) for setting in settings]
    return settings


def call(command: list[str], log: Path) -> str:
    """What it prints; ends the whole where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(log, "a") as errors:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
        errors.write(done.stdout)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} failed; see {log}")
    return done.stdout


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
