"""fp16's loss scale: where it lives, what of it a checkpoint keeps, what it makes of the gradient norm."""

from typing import Any

from torch import Tensor

from interbert.train.engine.device_scale import DeviceScale
from interbert.train.engine.wrappers import Wrapper, wrapper_of

HISTORY = {
    "DynamicLossScaler": ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis"),
    "LossScaler": ("cur_scale",),
}
"""By DeepSpeed's class: what changes while it trains. Without a dynamic scale some of it is None."""


def history(engine) -> dict[str, float | None]:
    scaler = _scaler(engine)
    if isinstance(scaler, DeviceScale):
        return scaler.history()
    return {name: getattr(scaler, name) for name in _fields(scaler)}


def set_history(engine, saved: dict[str, float | None]) -> None:
    """What another stage saved has no hysteresis, and then keeps the fresh one."""
    scaler = _scaler(engine)
    if isinstance(scaler, DeviceScale):
        if saved:
            scaler.set_history(saved)
        return
    for name in _fields(scaler):
        if name in saved:
            setattr(scaler, name, saved[name])


def loss_scale(engine) -> float:
    """Where DeepSpeed keeps it."""
    scaler = _scaler(engine)
    return 1.0 if scaler is None else float(scaler.cur_scale)


def scaled(engine, loss: Tensor) -> Tensor:
    """What the backward pass begins from; DeepSpeed multiplies by a scale of its own itself."""
    scaler = _scaler(engine)
    return loss.float() * scaler.value if isinstance(scaler, DeviceScale) else loss


def unscaled_norm(engine, reported: float, before: float) -> float:
    """The gradient norm of the step just taken. before: the loss scale that its backward passes ran with.

    DeepSpeed divides what it reports by that scale, or, at stage 3, by the scale after the step.
    """
    if wrapper_of(engine) is Wrapper.PARTITIONS:
        return reported * loss_scale(engine) / before
    return reported


def _scaler(engine) -> Any:
    match wrapper_of(engine):
        case Wrapper.OWN:
            return engine.optimizer.scale
        case Wrapper.ACCUMULATED:
            return None
        case _:
            return engine.optimizer.loss_scaler


def _fields(scaler: Any) -> tuple[str, ...]:
    return () if scaler is None else HISTORY[type(scaler).__name__]
