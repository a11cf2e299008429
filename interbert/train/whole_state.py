"""What training has learnt, whole and without ranks: each parameter's fp32 weight and its optimizer's moments.

DeepSpeed scatters these over ranks in another way at each ZeRO stage. Here a parameter's numbers are gathered, or set
from the whole, whatever the stage and the number of ranks: so a checkpoint knows of neither.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

WEIGHT, MOMENTS = "weight", ("exp_avg", "exp_avg_sq")
KEYS = (WEIGHT, *MOMENTS)
SCALER_FIELDS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


def named_parameters(engine) -> list[tuple[str, nn.Parameter]]:
    """Of the model itself, in the same order on all ranks; tied ones once."""
    return list(engine.module.model.named_parameters())


def shape_of(parameter: nn.Parameter) -> tuple[int, ...]:
    """Its whole shape, at ZeRO 3 too."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def gather(engine, keys: tuple[str, ...] = KEYS) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each parameter's name and {weight, exp_avg, exp_avg_sq}, whole, in fp32. All ranks must go through it."""
    access = _access(engine)
    for name, parameter in named_parameters(engine):
        yield name, {key: access.get(parameter, key).float() for key in keys}


def scatter(engine, read: Callable[[str], dict[str, Tensor]]) -> None:
    """The reverse; `read` gives a parameter's whole tensors, on each rank."""
    access = _access(engine)
    for name, parameter in named_parameters(engine):
        for key, value in read(name).items():
            access.set(parameter, key, value)


def counters(engine) -> dict[str, Any]:
    """What is not a tensor of a parameter: steps taken by the optimizer, the loss scale and its history."""
    return {"optimizer_steps": _steps(engine), "scaler": _read_fields(_scaler(engine))}


def set_counters(engine, saved: dict[str, Any]) -> None:
    _set_steps(engine, saved["optimizer_steps"])
    scaler = _scaler(engine)
    for name, value in saved["scaler"].items():
        if hasattr(scaler, name):
            setattr(scaler, name, value)


class _Plain:
    """An optimizer that sees the parameters themselves; or fp32 copies of them, alone or one after another."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, places: dict[nn.Parameter, tuple[Tensor, int]]
    ) -> None:
        """places: the copy that holds a parameter, and where in it."""
        self._state, self._places = optimizer.state, places

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        copy, start = self._places.get(parameter, (parameter, 0))
        held = copy.detach() if key == WEIGHT else ensure_moments(self._state[copy], copy)[key]
        return held.flatten()[start : start + parameter.numel()].view(parameter.shape)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        self.get(parameter, key).copy_(value)
        if key == WEIGHT:
            parameter.detach().copy_(value)


def ensure_moments(state: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """Before the first step there are none: they are zeros."""
    for key in MOMENTS:
        state.setdefault(key, torch.zeros_like(weight))
    state.setdefault("step", torch.zeros((), dtype=torch.float32, device=weight.device))
    return state


class _Scattered:
    """ZeRO 1 and 2 and bf16 without ZeRO: each rank holds a piece of what all parameters are, one after another."""

    def __init__(self, optimizer) -> None:
        base = optimizer.optimizer
        for group in base.param_groups:
            ensure_moments(base.state[group["params"][0]], group["params"][0])
        # DeepSpeed links them after its first group's first step, when the other groups have none.
        optimizer._hp_optimizer_states_linked = False
        optimizer._lazy_init_hp_params_optimizer_state()

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        return parameter.get_full_hp_param(None if key == WEIGHT else key)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        parameter.set_full_hp_param(value.to(parameter.device), None if key == WEIGHT else key)
        if key == WEIGHT:
            parameter.detach().copy_(value)


class _Partitioned:
    """ZeRO 3: each rank holds a piece of each parameter."""

    def __init__(self, optimizer) -> None:
        self._optimizer = optimizer
        for flat in optimizer.fp32_partitioned_groups_flat:
            ensure_moments(optimizer.optimizer.state[flat], flat)

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        return self._optimizer.get_full_hp_param(parameter, None if key == WEIGHT else key)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        import deepspeed

        piece, _ = self._optimizer._get_fp32_opt_state_partition(
            parameter, False, None if key == WEIGHT else key
        )
        start = self._optimizer._get_param_partition_rank(parameter) * piece.numel()
        own = value.flatten()[start : start + piece.numel()]  # shorter, or nothing, on the last ranks
        piece[: own.numel()].copy_(own)
        piece[own.numel() :].zero_()
        if key == WEIGHT:
            with torch.no_grad(), deepspeed.zero.GatheredParameters(parameter, modifier_rank=0):
                parameter.copy_(value)


def _access(engine) -> _Plain | _Scattered | _Partitioned:
    optimizer = engine.optimizer
    if isinstance(optimizer, torch.optim.Optimizer):
        return _Plain(optimizer, {})
    parameters = [parameter for _, parameter in named_parameters(engine)]
    if hasattr(parameters[0], "ds_id"):
        return _Partitioned(optimizer)
    if hasattr(parameters[0], "_hp_mapping"):
        return _Scattered(optimizer)
    # fp16 without ZeRO: an fp32 copy of each parameter, or of all of a group one after another.
    places = {}
    for number, group in enumerate(optimizer.fp16_groups):
        if hasattr(optimizer, "fp32_groups"):
            places |= {p: (copy, 0) for p, copy in zip(group, optimizer.fp32_groups[number], strict=True)}
            continue
        starts = [0, *accumulate(p.numel() for p in group)]
        places |= {
            p: (optimizer.fp32_groups_flat[number], start) for p, start in zip(group, starts, strict=False)
        }
    return _Plain(optimizer.optimizer, places)


def _base(engine) -> torch.optim.Optimizer:
    optimizer = engine.optimizer
    return optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer.optimizer


def _steps(engine) -> int:
    """Some optimizers count in their state, some in their groups."""
    base = _base(engine)
    found = [state["step"] for state in base.state.values() if "step" in state]
    found += [group["step"] for group in base.param_groups if "step" in group]
    return int(found[0]) if found else 0


def _set_steps(engine, steps: int) -> None:
    base = _base(engine)
    for place in (*base.state.values(), *base.param_groups):
        if "step" in place:
            place["step"] = (
                torch.full_like(place["step"], steps) if isinstance(place["step"], Tensor) else steps
            )


def _scaler(engine) -> Any:
    """Where the loss scale lives: in the optimizer, or in an object of its own."""
    optimizer = engine.optimizer
    return getattr(optimizer, "loss_scaler", optimizer)


def _read_fields(scaler: Any) -> dict[str, float]:
    there = {name: getattr(scaler, name, None) for name in SCALER_FIELDS}
    return {name: value for name, value in there.items() if isinstance(value, int | float)}
