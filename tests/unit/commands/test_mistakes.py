"""What goes wrong most often is answered in a line that says what, where and the remedy, and nothing is lost."""

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest

from interbert.__main__ import main
from interbert.doors import run_door
from interbert.sources.scenes.write import write_scenes

ROOT = Path(__file__).parents[3]
MISTAKES = {
    # what is typed after `interbert`, or a script of launch/: what the answer says
    "scenes --output a.h5 --images 10": "a.h5 is there already: remove it, name another --output",
    "scenes --output b.h5 --images 0": "a store holds at least 1",
    "scenes --output b.h5 --images many": "--images: invalid int value: 'many'",
    "scenez": "there is no 'scenez': did you mean scenes?",
    "scenes --output b.h5 --imagse 5": "unrecognized arguments: --imagse 5 (did you mean --images?); for example",
    "verify": "required: data; for example `interbert verify features.h5`",
    "verify empty": "empty: a directory without stores (no file ends in .h5 or .hdf5); give another one",
    "inspect a.h5 --output page.txt": "--output page.txt: it must end in .png or .html",
    "inspect a.h5 --image-id nobody": "no image with id 'nobody'; the first one is 'train-s1-0000000'",
    "inspect broken.h5": "broken.h5",
    "tokenizer --data a.h5 --output tok --size 5": "ask for more than that",
    "tokenizer --data nowhere.h5 --output tok": "(No such file or directory); check the path",
    "import auto --input nowhere.tsv --output x.h5": "nowhere.tsv: no such file or folder",
    "import bottom-up-tsv --input notes.txt --output x.h5": "notes.txt: 1 tab-separated columns and no header",
    "import auto --input notes.txt --output x.h5": "name the format",
    "import nothing --input notes.txt --output x.h5": "there is no 'nothing': choose from auto, bottom-up-tsv",
    "import bottom-up-tsv --input a.h5 --output a.h5": "a.h5 is there already",
    "extract --images empty --model nowhere --output x.h5": "empty: no image there; endings looked for: .jpg",
    "extract --images notes.txt --model nowhere --output x.h5": "`import` brings features in",
    "mine --data a.h5 --output a.h5": "a.h5 is there already",
    "mine --data nowhere.h5 --output c.h5": "check the path",
    'score --model nowhere --data a.h5 --image-id x --text "a cat"': "no image with id 'x'",
    "score --model empty --text x": "give --image FILE with --detector DIR",
    "join --given a.h5 --output j.h5": "required: --detected; for example `interbert join",
    "export --model empty --format tflite --output o": "there is no 'tflite': choose from onnx, torch-export",
    "export --model nowhere --format onnx --output o": "nowhere: no config.json; give a directory such as runs/",
    "export --model empty --format onnx --output a.h5": "a.h5 is there already",
    "convert uniter --weights nowhere.pt --config c.json --tokenizer empty --output o": "tokenizer empty",
    "convert bert --weights nowhere --output o": "nowhere: no such directory here",
    "convert released --weights w.bin --config bad.json --tokenizer t --output o": "bad.json, line 1: not JSON",
    "settings --recipe scnes": "no recipe 'scnes': did you mean scenes?",
    "settings train.lerning_rate": "did you mean train.learning_rate",
    "summary nowhere": "nowhere: no status.json there; is it the folder of a run?",
    "runs": "runs: no such folder; runs are made in runs/",
    "runs shw a": "there is no 'shw': did you mean show?",
    "runs list nowhere": "runs are made in runs/, or where --output-dir said",
    "runs show nowhere": "`interbert runs list DIR` lists those of DIR",
    "runs compare nowhere there": "nowhere: no run is there",
    "launch pretrain --recipe scenes": "required: --deepspeed_config; for example `interbert launch pretrain",
    "launch train --recipe scenes": "there is no 'train': did you mean pretrain?",
    "launch pretrain --recipe scenes --deepspeed_config cpu --num_gpus 2 --batch 8": "arguments: --batch 8",
    "pretrain --recipe scenes": "the following arguments are required: --deepspeed_config",
    "pretrain --recipe scnes --deepspeed_config cpu": "did you mean scenes?",
    "pretrain --recipe nowhere.yaml --deepspeed_config cpu": "no recipe nowhere.yaml: no such file",
    "pretrain --recipe bad.yaml --deepspeed_config cpu": "recipe bad.yaml is not YAML",
    "pretrain --recipe unknown.yaml --deepspeed_config cpu": "did you mean train.learning_rate?",
    "pretrain --recipe scenes --deepspeed_config nowhere.json": "nowhere.json: give a file, or one of cpu",
    "pretrain --recipe scenes --deepspeed_config bad.json": "bad.json, line 1: not JSON",
    "pretrain --recipe scenes --deepspeed_config cpu --data nowhere.h5": "no data at nowhere.h5: give --data",
    "pretrain --recipe scenes --deepspeed_config cpu --set train.lerning_rate=1": "did you mean train.learning_rate?",
    "pretrain --recipe scenes --deepspeed_config cpu --set train.learning_rate=fast": "a valid number",
    "pretrain --recipe scenes --deepspeed_config cpu --set learning_rate=1": "did you mean train.learning_rate?",
    "pretrain --recipe scenes --deepspeed_config cpu --set train.learning_rate": "write it as section.key=value",
    "pretrain --recipe scenes --deepspeed_config cpu --set train.trackers=[own.py]": "write FILE.py:FUNCTION",
    "pretrain --recipe scenes --deepspeed_config cpu --max-steps 0": "--max-steps is 0: give 1 or more",
    "pretrain --recipe scenes --deepspeed_config cpu --resume nowhere": "give --resume latest",
    "pretrain --recipe scenes --deepspeed_config cpu --world-size 8": "imagine a machine: give --dry-run too",
    "pretrain --recipe scenes --deepspeed_config cpu --data a.h5 --world-size 3 --dry-run": "start 1 or 2 ranks",
    "pretrain --recipe scenes --deepspeed_config cpu --hostfile nowhere": "write one line a host",
    "pretrain --recipe interbert_base --deepspeed_config cpu": "needs data: give --data STORE or DIRECTORY",
    "pretrain --recipe vqa2 --deepspeed_config cpu": "fine-tunes: start it by launch/finetune.py",
    "finetune --recipe scenes --deepspeed_config cpu": "pretrains: start it by launch/pretrain.py",
    "finetune --task classify --deepspeed_config cpu": "give --examples FILE",
    "finetune --task classify --model nowhere --examples notes.txt --deepspeed_config cpu": "no such file or folder",
    "finetune --task clasify --deepspeed_config cpu": "there is no 'clasify': did you mean classify?",
    "evaluate --task retrieval --model nowhere --data a.h5 --output o.json": "no such file or folder: nowhere",
    "evaluate --task retrieval --model empty --data a.h5 --output o.json": "such as runs/<name>/export",
    "evaluate --task retrieval --run empty": "the run has to finish first",
    "evaluate --task classify --data a.h5 --output o": "one of the arguments --model --run is required",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    write_scenes(folder / "a.h5", 40, seed=1, feature_width=8)
    (folder / "empty").mkdir()
    (folder / "broken.h5").write_bytes(b"nothing")
    (folder / "bad.json").write_text("{")
    (folder / "bad.yaml").write_text("train: [1")
    (folder / "unknown.yaml").write_text("name: x\ntrain: {lerning_rate: 1}\n")
    (folder / "notes.txt").write_text("hello\n")
    return folder


@pytest.mark.parametrize(("typed", "said"), MISTAKES.items(), ids=list(MISTAKES))
def test_a_mistake_is_answered_in_a_line(typed, said, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_ID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)
    before = contents(folder)
    name, *words = shlex.split(typed)
    try:
        code = script(name, words, monkeypatch) if name in SCRIPTS else main([name, *words])
    except SystemExit as end:  # of argparse
        code = end.code
    answer = capsys.readouterr().err.strip().splitlines()
    assert code in (1, 2)
    assert len(answer) == 1 and said in answer[0], answer
    assert contents(folder) == before
    assert not [path for path in folder.rglob("*") if "partial" in path.name]


def contents(folder: Path) -> dict[str, bytes]:
    """Of what was there before."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


SCRIPTS = ("pretrain", "finetune", "evaluate")


def script(name: str, words: list[str], monkeypatch) -> int:
    place = ROOT / "launch" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(place), *words])
    return run_door(name, module.main)


def test_there_are_forty():
    assert len(MISTAKES) >= 40
