"""Which parameters decay, and which came from BERT."""

from typing import Any

from torch import nn

from interbert.model.norm import LayerNorm


def parameter_groups(
    model: nn.Module,
    inherited: list[str],
    learning_rate: float,
    inherited_rate: float = 1.0,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Groups for an optimizer: weight matrices decay, biases and LayerNorms do not; `inherited` parameters (names
    or dotted prefixes) learn at `inherited_rate` times the rate. Empty groups are left out."""
    norms = {id(p) for m in model.modules() if isinstance(m, LayerNorm) for p in m.parameters(recurse=False)}
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = not (id(parameter) in norms or name.endswith(".bias"))
        came_from_bert = is_inherited(name, inherited)
        group = groups.setdefault(
            (came_from_bert, decays),
            {
                "name": f"{'inherited' if came_from_bert else 'new'}, {'decayed' if decays else 'not decayed'}",
                "params": [],
                "lr": learning_rate * (inherited_rate if came_from_bert else 1.0),
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def is_inherited(name: str, inherited: list[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in inherited)
