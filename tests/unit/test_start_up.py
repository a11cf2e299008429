"""Who only looks does not wait: what is slow to import is imported when it is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interbert.sources.scenes.write import write_scenes

ROOT = Path(__file__).parents[2]
HEAVY = (
    *("torch", "transformers", "deepspeed", "huggingface_hub", "tokenizers", "sklearn", "scipy"),
    *("sparse_dot_topn", "PIL", "tensorboard", "mpi4py", "numpy", "h5py"),
)
OF_DATA = {"numpy", "h5py"}


def imported(program: str, *arguments: str, cwd: Path = ROOT) -> tuple[set[str], str]:
    """Which of HEAVY a new process has imported when it has run the program, and what it printed before."""
    told = f"\nimport json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    paths = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    # As a person's shell has it, whatever tests of ranks have left in this process.
    alone = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run(
        [sys.executable, "-c", paths + program + told, *arguments],
        cwd=cwd,
        env=alone,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    return set(json.loads(last)), "\n".join(printed)


RUN_VERB = """
from contextlib import suppress
from interbert.__main__ import main
with suppress(SystemExit):
    main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--help"], "build-kernels"), (["settings", "--recipe", "scenes"], "token_budget = 1024")],
)
def test_verbs_that_only_tell_import_nothing_slow(arguments, words):
    heavy, printed = imported(RUN_VERB, *arguments)
    assert not heavy and words in printed


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "--recipe", "scenes", "--deepspeed_config", "cpu", "--num_gpus", "2", "--unheard-of"],
        [
            "finetune",
            "--recipe",
            "scenes_retrieval",
            "--deepspeed_config",
            "cpu",
            "--set",
            "task.unheard_of=1",
        ],
        [
            "evaluate",
            "--task",
            "retrieval",
            "--model",
            "m",
            "--data",
            "a.h5",
            "--output",
            "o",
            "--unheard-of",
        ],
    ],
    ids=lambda words: words[0],
)
def test_what_launch_refuses_it_refuses_before_ranks_start(words):
    told = "sys.stderr = sys.stdout\n" + RUN_VERB
    heavy, printed = imported(told, "launch", *words)
    assert heavy <= {"numpy"}
    assert printed.splitlines()[-1].count("unheard") == 1


def test_verify_imports_what_reads_stores(tmp_path):
    write_scenes(tmp_path / "a.h5", 4, seed=1, feature_width=8)
    heavy, printed = imported(RUN_VERB, "verify", str(tmp_path / "a.h5"))
    assert heavy == OF_DATA and "a.h5" in printed


REFUSED = ("mine --data a.h5", "convert bert --weights w", "convert to-released --model m")
REFUSED += ("convert released --weights w --config c --tokenizer t",)


def test_an_output_that_is_there_is_refused_before_anything_slow(tmp_path):
    """The seconds of scikit-learn, or of transformers, would be waited for in vain."""
    (tmp_path / "there").touch()
    program = "import sys\nsys.stderr = sys.stdout\nfrom interbert.__main__ import main\n"
    program += "for words in sys.argv[1:]:\n    main([*words.split(), '--output', 'there'])\n"
    heavy, printed = imported(program, *REFUSED, cwd=tmp_path)
    assert printed.count("there is there already") == len(REFUSED), printed
    assert heavy <= {"numpy"}


MODULES = {
    "interbert.config, interbert.recipe": set(),
    "interbert.model.shape.size, interbert.model.shape.from_bert, interbert.model.shape.heads_needed": set(),
    "interbert.ranks.stop, interbert.ranks.handover": set(),
    "interbert.train.checkpoints.identity, interbert.train.folder.run_folder": set(),
    "interbert.train.start.scale, interbert.train.engine.deepspeed_config, interbert.train.monitor.profiling": set(),
    "interbert.tokenizer": set(),
    "interbert.tasks.results.metrics, interbert.tasks.sweep.run, interbert.commands.summary": set(),
    "interbert.corpus.corpus, interbert.mining.negatives, interbert.batches.plan, interbert.store.verify": OF_DATA,
    "interbert.train.start.command, interbert.train.start.dry_run, interbert.train.start.stages": OF_DATA,
}


def test_modules_that_a_refusal_needs_are_light():
    """One process, lightest first: what a later one may import an earlier one has not."""
    steps = "".join(
        f"import {names}\nfound.append([m for m in {HEAVY!r} if m in sys.modules])\n" for names in MODULES
    )
    _, printed = imported("found = []\n" + steps + "print(__import__('json').dumps(found))")
    for names, found in zip(MODULES, json.loads(printed), strict=True):
        assert set(found) <= MODULES[names], names


DRY_RUN = f"""
import runpy
sys.stderr = sys.stdout
sys.argv = ["launch/pretrain.py", *sys.argv[1:]]
try:
    runpy.run_path({str(ROOT / "launch" / "pretrain.py")!r}, run_name="__main__")
except SystemExit as end:
    if end.code:
        print("\\nrefused:", end.code)
"""


def test_a_dry_run_builds_no_model_and_meets_nobody(tmp_path):
    write_scenes(tmp_path / "a.h5", 40, seed=1, feature_width=8)
    command = [
        "--dry-run",
        "--recipe",
        "interbert_base",
        "--data",
        str(tmp_path / "a.h5"),
        "--world-size",
        "4",
    ]
    command += ["--set", "train.micro_batches=8"]
    command += ["--deepspeed_config", str(ROOT / "ds_configs" / "zero1_bf16.json")]
    heavy, printed = imported(DRY_RUN, *command, cwd=tmp_path)
    assert heavy == OF_DATA | {"tokenizers"}, printed
    assert "4 ranks x 2 accumulated" in printed and "parameters; assumed" in printed
    heavy, printed = imported(DRY_RUN, *command, "--set", "model.override={hidden_size: 100}", cwd=tmp_path)
    assert "pretrain: stages[0]: hidden_size 100 does not divide into 12 heads" in printed
    assert printed.endswith("refused: 1")
    assert heavy == OF_DATA | {"tokenizers"}
