"""What peft calls the parameters of a matrix with an adapter: `W.base_layer.weight`, `W.lora_A.default.weight`, and
`W.lora_B.default.weight`."""

BASE, A, B = ".base_layer.", ".lora_A.", ".lora_B."
ADAPTER = "default"
"""peft may hold several in a model; here it is always one, under peft's own name for it."""


def is_adapter(name: str) -> bool:
    return A in name or B in name


def own_name(name: str) -> str:
    """The model's name of a matrix that stands within an adapter, and of any other parameter."""
    return name.replace(BASE, ".")


def saved_name(name: str) -> str:
    """As peft writes it to a file."""
    return f"base_model.model.{name.replace(f'.{ADAPTER}.', '.') if is_adapter(name) else name}"
