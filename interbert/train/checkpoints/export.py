"""The trained model as a Hugging Face directory, in fp32, loaded back and compared before it counts."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from interbert.files import new_folder, settle_folder, write_sums
from interbert.model.beginning import fill
from interbert.ranks.distributed import Ranks
from interbert.train.engine import whole_state
from interbert.train.engine.adapters import merged, write_adapter


def full_weights(engine, keep: bool = True) -> dict[str, Tensor]:
    """fp32 weights by name on the CPU, from whatever ZeRO stage and precision. Call on all ranks.

    keep: whether this rank wants them; else it only helps to gather, and gets none.
    """
    found = whole_state.gather(engine.deepspeed, (whole_state.WEIGHT,))
    return {name: tensors[whole_state.WEIGHT].to("cpu", copy=True) for name, tensors in found if keep}


def whole_model(engine) -> nn.Module:
    """The model as it would be exported, on this rank: for who must have all of it at once. Call on all ranks."""
    weights = merged(full_weights(engine), engine.settings.train.lora)
    return fill(type(engine.model).empty(engine.model.config), weights.pop).eval()


def export(engine, tokenizer, folder: Path, ranks: Ranks) -> None:
    """Under the model's own names: of adapters only what they add is left."""
    weights = merged(full_weights(engine, keep=ranks.is_main), engine.settings.train.lora)
    ranks.main_only(lambda: _write(type(engine.model), engine.model.config, weights, tokenizer, folder))


def export_adapter(engine, tokenizer, folder: Path, ranks: Ranks) -> None:
    """Of a run with train.lora: its adapters alone, as peft keeps them, the task's head, and what says which head
    that is and how words are cut, so that the folder can be given wherever a model is asked for."""
    settings = engine.settings

    def describe(partial: Path) -> None:
        config = deepcopy(engine.model.config)
        config.architectures = [type(engine.model).__name__]
        config.save_pretrained(partial)
        tokenizer.save(partial)

    weights, base = full_weights(engine, keep=ranks.is_main), settings.model.inherit_from
    lora, head = settings.train.lora, engine.head
    ranks.main_only(lambda: write_adapter(weights, lora, head, base, folder, describe))


def _write(model_class, config, weights: dict[str, Tensor], tokenizer, folder: Path) -> None:
    partial = new_folder(folder.with_name(f".{folder.name}.partial"))
    model = fill(model_class.empty(config), weights.pop)
    assert not weights, f"weights that the model has no place for: {sorted(weights)}"
    model.save_pretrained(partial)
    tokenizer.save(partial)
    _compare(model, model_class.from_pretrained(partial), partial)
    write_sums(partial)
    settle_folder(partial, folder)


def _compare(written, read, folder: Path) -> None:
    back = read.state_dict()
    for name, value in written.state_dict().items():
        if name not in back or not torch.equal(value, back[name]):
            raise RuntimeError(
                f"{folder}: {name} does not come back as it was written; the export is not used"
            )
