"""The trained model as a Hugging Face directory, in fp32, loaded back and compared before it counts."""

import shutil
from pathlib import Path

import torch
from torch import Tensor

from interbert.files import settle_folder
from interbert.train.distributed import Ranks


def full_weights(engine) -> dict[str, Tensor]:
    """fp32 weights by name on the CPU, from whatever ZeRO stage and precision. Call on all ranks."""
    from deepspeed.utils import safe_get_full_fp32_param

    masters = _masters_of_stage_0(engine.deepspeed.optimizer)
    weights = {}
    for name, parameter in engine.model.named_parameters():
        if id(parameter) in masters:
            value = masters[id(parameter)]
        elif engine.config.stage > 0:
            value = safe_get_full_fp32_param(parameter)
        else:
            assert engine.config.precision == "fp32", (
                f"no fp32 weight of {name}: DeepSpeed keeps them elsewhere"
            )
            value = parameter
        assert value is not None, f"no fp32 weight of {name}"
        weights[name] = (
            value.detach().float().cpu().reshape(getattr(parameter, "ds_shape", parameter.shape)).clone()
        )
    return weights


def _masters_of_stage_0(optimizer) -> dict[int, Tensor]:
    """With 16-bit weights at stage 0: the fp32 weight of each parameter, by its id."""
    masters = {}
    if hasattr(optimizer, "fp16_groups") and hasattr(optimizer, "fp32_groups"):
        for low, high in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True):
            masters.update({id(p): q for p, q in zip(low, high, strict=True)})
    elif hasattr(optimizer, "fp16_groups") and hasattr(optimizer, "fp32_groups_flat"):  # of fused optimizers
        for low, flat in zip(optimizer.fp16_groups, optimizer.fp32_groups_flat, strict=True):
            start = 0
            for parameter in low:
                masters[id(parameter)] = flat[start : start + parameter.numel()].view_as(parameter)
                start += parameter.numel()
    return masters


def export(engine, tokenizer, folder: Path, ranks: Ranks) -> None:
    weights = full_weights(engine)
    ranks.main_only(lambda: _write(type(engine.model), engine.model.config, weights, tokenizer, folder))


def _write(model_class, config, weights: dict[str, Tensor], tokenizer, folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights.pop(name))
    assert not weights, f"weights that the model has no place for: {sorted(weights)}"
    model.save_pretrained(partial)
    tokenizer.save(partial)
    _compare(model, model_class.from_pretrained(partial), partial)
    settle_folder(partial, folder)


def _compare(written, read, folder: Path) -> None:
    back = read.state_dict()
    for name, value in written.state_dict().items():
        if name not in back or not torch.equal(value, back[name]):
            raise RuntimeError(
                f"{folder}: {name} does not come back as it was written; the export is not used"
            )
