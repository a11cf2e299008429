"""Low-rank adapters (train.lora), made, saved and merged; peft has their mathematics and the format of their files.

    y = x W^T + b + alpha / rank * dropout(x) A^T B^T

A is drawn, B begins with zeros, so that training begins with the model as it was.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from interbert.config import LoraSettings, SettingsError, TrainSettings
from interbert.files import new_folder, settle_folder
from interbert.model.beginning import Read, numbers_of
from interbert.train.engine.adapter_names import ADAPTER, A, B, is_adapter, own_name, saved_name
from interbert.train.engine.frozen import belongs

WEIGHTS = "adapter_model.safetensors"


def with_adapters(model: nn.Module, read: Read, settings: TrainSettings) -> tuple[nn.Module, Read]:
    """The empty model with adapters, and what reads its numbers and theirs; without train.lora both as they are."""
    if settings.lora is None:
        return model, read
    peft = _peft()
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    peft.inject_adapter_in_model(peft_config(settings.lora), model, ADAPTER, low_cpu_mem_usage=True)
    rank = settings.lora.rank

    def read_adapted(name: str) -> Tensor:
        if not is_adapter(name):
            return read(own_name(name))
        outputs, inputs = shapes[name.split(A)[0].split(B)[0] + ".weight"]
        if B in name:
            return torch.zeros(outputs, rank)
        bound = inputs**-0.5  # as peft draws them, but each by its name
        drawn = numbers_of(name, settings.seed).uniform(-bound, bound, (rank, inputs))
        return torch.from_numpy(drawn).float()

    return model, read_adapted


def peft_config(lora: LoraSettings, head: tuple[str, ...] = ()):
    """head: modules that learn whole, and lie whole in the file."""
    return _peft().LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=rf".*\bstages\.\d+\.\d+\.(?:(?:text|image)\.)?(?:{'|'.join(lora.targets)})",
        modules_to_save=list(head) or None,
    )


def merged(weights: dict[str, Tensor], lora: LoraSettings | None) -> dict[str, Tensor]:
    """A model's weights under its own names, what the adapters add included."""
    if lora is None:
        return weights
    found = {own_name(name): weight for name, weight in weights.items() if not is_adapter(name)}
    for name, a_RI in weights.items():
        if A in name:
            b_OR = weights[name.replace(A, B)]
            matrix = name.split(A)[0] + ".weight"
            found[matrix] = found[matrix] + lora.alpha / lora.rank * (b_OR @ a_RI)
    return found


def write_adapter(
    weights: dict[str, Tensor],
    lora: LoraSettings,
    head: tuple[str, ...],
    base: str | None,
    folder: Path,
    beside: Callable[[Path], None] = lambda folder: None,
) -> None:
    """A folder as `PeftModel.from_pretrained` reads it: the adapters, and the task's head whole. base: where the
    model lies that they were made for. beside: writes what else is in the folder."""
    whole = tuple(prefix for prefix in head if any(belongs(name, [prefix]) for name in weights))
    kept = {
        saved_name(name): weight.contiguous()
        for name, weight in weights.items()
        if is_adapter(name) or belongs(name, whole)
    }
    config = peft_config(lora, whole)
    config.base_model_name_or_path, config.inference_mode = base, True
    partial = new_folder(folder.with_name(f".{folder.name}.partial"))
    save_file(kept, partial / WEIGHTS, {"format": "pt"})
    config.save_pretrained(str(partial))
    beside(partial)
    settle_folder(partial, folder)


def _peft():
    try:
        import peft
    except ImportError:
        raise SettingsError(
            "train.lora needs the package peft: pip install peft==0.21.2, or leave train.lora out"
        ) from None
    return peft
