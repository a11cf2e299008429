"""fp16's loss scale at ZeRO stage 0, on the device.

Halved and doubled as DeepSpeed does at this stage: without hysteresis, and at its least it stays.
"""

from typing import Any

import torch
from torch import Tensor

FACTOR = 2.0


class DeviceScale:
    def __init__(self, section: dict[str, Any], device: torch.device) -> None:
        """section: `fp16` of the DeepSpeed config."""
        from deepspeed.runtime.precision_config import DeepSpeedFP16Config

        wanted = DeepSpeedFP16Config(**section)
        self._dynamic = wanted.loss_scale == 0
        first = 2.0**wanted.initial_scale_power if self._dynamic else wanted.loss_scale
        self.value = torch.full((), first, device=device)
        self._last_overflow = torch.full((), -1.0, dtype=torch.float64, device=device)
        self._steps, self._window, self._least = 0, wanted.loss_scale_window, float(wanted.min_loss_scale)

    def follow(self, bad: Tensor) -> None:
        """After each step: halved where it was bad, doubled after so many good ones."""
        if self._dynamic:
            good_ones = self._steps - self._last_overflow - 1
            due = (good_ones > 0) & (good_ones % self._window == 0)
            raised = torch.where(due, self.value * FACTOR, self.value)
            self.value = torch.where(bad > 0, (self.value / FACTOR).clamp(min=self._least), raised)
            self._last_overflow = torch.where(bad > 0, float(self._steps), self._last_overflow)
        self._steps += 1

    def history(self) -> dict[str, float | None]:
        """Under the names of DeepSpeed's, so that a run can go on at another stage."""
        last = int(self._last_overflow.item()) if self._dynamic else None
        return {"cur_scale": self.value.item(), "cur_iter": self._steps, "last_overflow_iter": last}

    def set_history(self, saved: dict[str, float | None]) -> None:
        self.value = torch.full_like(self.value, saved["cur_scale"])
        self._steps = int(saved.get("cur_iter") or 0)
        last = saved.get("last_overflow_iter")
        self._last_overflow = torch.full_like(self._last_overflow, -1.0 if last is None else last)
