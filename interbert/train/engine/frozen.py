"""Parameters that do not learn: without gradients, and without a place in the optimizer."""

import difflib
from collections.abc import Iterable

from torch import nn

from interbert.config import SettingsError, TrainSettings
from interbert.train.engine.adapter_names import is_adapter


def belongs(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a parameter is one of these, or within one of these modules: a prefix ends at a dot."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def freeze(model: nn.Module, settings: TrainSettings, head: Iterable[str] = ()) -> None:
    """Before the engine is made, which gives the others their gradients. With adapters all but these and the task's
    head is frozen."""
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for prefix in settings.frozen:
        if not any(belongs(name, [prefix]) for name in names):
            raise SettingsError(_unknown(prefix, names))
    for name, parameter in model.named_parameters():
        learns = settings.lora is None or is_adapter(name) or belongs(name, head)
        if not learns or belongs(name, settings.frozen):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SettingsError("train.frozen leaves nothing that learns: name less")


def _unknown(prefix: str, names: list[str]) -> str:
    """Names what there is, down to the depth of what was written, at most three levels."""
    levels = min(3, prefix.count(".") + 1)
    there = list(dict.fromkeys(".".join(name.split(".")[:levels]) for name in names))
    near = difflib.get_close_matches(prefix, there, n=1)
    meant = f"write {near[0]!r}, or one of" if near else "there are"
    return f"train.frozen: the model has no parameter {prefix!r}; {meant} {', '.join(there)}"
