"""A run whose averages are validated and exported, and whose adapters lie beside the export."""

import torch
from safetensors.torch import load_file

from interbert.config import LoraSettings
from interbert.model.interbert import InterBertForPreTraining
from interbert.train.engine.adapters import merged

LEARNING = (
    "train.ema=0.9",
    "train.lora={rank: 2, targets: [qkv, down]}",
    "train.schedule=cosine",
    "train.learning_rate=0.01",
    "train.recompute=true",
    "train.checkpoint_every=3",
    "train.validate_every=3",
)


def test_averages_and_adapters_of_a_run(runs):
    runs.python("learning", "--max-steps", "3", sets=LEARNING)
    runs.python("learning", "--max-steps", "6", sets=LEARNING)
    folder = runs.folder / "learning"
    saved = load_file(folder / "checkpoints" / "step_6" / "part_0.safetensors")
    held = {key: dict(of(saved, key)) for key in ("weight", "average", "exp_avg")}
    assert held["average"].keys() == held["exp_avg"].keys() < held["weight"].keys()

    lora = LoraSettings(rank=2, targets=["qkv", "down"])
    exported = InterBertForPreTraining.from_pretrained(folder / "export").state_dict()
    for name, weight in merged(held["weight"] | held["average"], lora).items():
        assert torch.allclose(exported[name], weight, atol=1e-7), name
    now = merged(held["weight"], lora)
    assert any(not torch.allclose(exported[name], weight, atol=1e-5) for name, weight in now.items())

    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    name = "interbert.stages.0.0.qkv.lora_B"
    average = held["average"][f"{name}.default.weight"]
    assert torch.equal(adapter[f"base_model.model.{name}.weight"], average) and average.abs().max() > 1e-4
    assert len(adapter) == len(held["average"]) == 3 * 2 * 2

    said = runs.python("learning", "--max-steps", "7", sets=LEARNING[1:], code=None)
    assert "train.ema: 0.9 then, None now" in said and "set them back (--set train.ema=0.9)" in said


def of(saved: dict[str, torch.Tensor], key: str):
    return (
        (name.removeprefix(f"{key}/"), value) for name, value in saved.items() if name.startswith(f"{key}/")
    )
