"""Every architecture through the real script: same data, same trainer."""

import json
import sys

import pytest

from interbert.model.loading import load_ours


@pytest.mark.parametrize("architecture", ["imagebert", "visualbert", "vlbert", "vilbert"])
def test_an_architecture_trains_and_is_evaluated(runs, architecture):
    settings = [s for s in runs.settings if not s.startswith("model.override")]
    objectives = {"imagebert": "{mlm: 1, moc: 1, mrfr: 1, itm: 1}", "vlbert": "{mlm: 1, moc: 1}"}
    settings += [f"model.architecture={architecture}", "model.preset=tiny"]
    if architecture in objectives:
        settings += [f"objectives={objectives[architecture]}", "masks.text=mlm", "masks.regions=moc"]
    words = [
        sys.executable,
        "launch/pretrain.py",
        "--recipe",
        "scenes",
        "--deepspeed_config",
        "ds_configs/cpu.json",
    ]
    words += ["--output-dir", str(runs.folder / architecture), "--max-steps", "4"]
    runs.run([*words, *(word for setting in settings for word in ("--set", setting))])
    losses = runs.losses(architecture)
    assert len(losses) == len(set(losses)) == 4 and all(loss > 0 for loss in losses)
    model = load_ours(runs.folder / architecture / "export")
    assert ("match" in model.heads) == (architecture != "vlbert")
    store, output = (
        next((runs.folder / "scenes").glob("validation*.h5")),
        runs.folder / f"{architecture}.json",
    )
    words = [
        "--model",
        str(runs.folder / architecture / "export"),
        "--data",
        str(store),
        "--output",
        str(output),
        "--max-images",
        "9",
        "--split-captions",
        "all",
    ]
    said = runs.run(
        [sys.executable, "launch/evaluate.py", "--task", "retrieval", *words],
        code=int(architecture == "vlbert"),
    )
    if architecture == "vlbert":
        assert "no match head" in said
    else:
        figures = json.loads(output.read_text())
        assert (figures["images"], figures["captions"]) == (9, 45)
        assert 1 < figures["text_to_image"]["mean_rank"] < 9
        assert 1 < figures["image_to_text"]["mean_rank"] < 41


def test_an_objective_that_an_architecture_cannot_serve(runs):
    settings = [s for s in runs.settings if not s.startswith("model.override")]
    words = [
        sys.executable,
        "launch/pretrain.py",
        "--recipe",
        "scenes",
        "--deepspeed_config",
        "ds_configs/cpu.json",
    ]
    words += ["--output-dir", str(runs.folder / "refused_itm"), "--max-steps", "1"]
    settings += ["model.architecture=vlbert", "model.preset=tiny"]
    said = runs.run([*words, *(word for setting in settings for word in ("--set", setting))], code=1)
    assert "does not match captions" in said and "Traceback" not in said
