"""A short fine-tuning run, as it is started anywhere."""

import torch
from processes import Runs
from safetensors.torch import load_file

SETS = "task={kind: match, loss: cross_entropy, sets: {random_captions: 2, random_images: 1, near_images: 0}}"


def tuning(runs: Runs, name: str) -> list[str]:
    """Its command, from the export of a run that is made where it is not there yet."""
    begun = runs.folder / "begun"
    if not (begun / "export").is_dir():
        runs.python("begun", "--max-steps", "2")
    train, test = (next((runs.folder / "scenes").glob(f"{part}_*.h5")) for part in ("train", "test"))
    words = [
        "launch/finetune.py",
        "--recipe",
        "finetune",
        "--model",
        str(begun / "export"),
        "--data",
        str(train),
    ]
    words += ["--deepspeed_config", "ds_configs/cpu.json", "--output-dir", str(runs.folder / name)]
    for each in (SETS, f"data.validation=[{test}]", "train.batch=8 sets", "train.epochs=1"):
        words += ["--set", each]
    return [*words, "--max-steps", "4"]


def same_export(runs: Runs, *names: str) -> bool:
    first, *others = (load_file(runs.folder / name / "export" / "model.safetensors") for name in names)
    return all(
        first.keys() == other.keys() and all(torch.equal(first[key], other[key]) for key in first)
        for other in others
    )
