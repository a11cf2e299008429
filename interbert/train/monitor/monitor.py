"""What a run says while it trains: metrics.jsonl, TensorBoard, a progress bar or plain lines. Rank 0 only."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from interbert.config import Settings
from interbert.files import read_json_lines, strict, write_text
from interbert.recipe import flatten
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.tags import LOSS, VALIDATION_LOSS, tag_of
from interbert.train.monitor.trackers import Trackers

BAR = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} steps{postfix}"

COMPARED = (LOSS, VALIDATION_LOSS)
"""What TensorBoard's table of runs shows beside the settings."""


class Monitor:
    def __init__(self, folder: RunFolder, settings: Settings, step: int, last_step: int) -> None:
        self.folder = folder
        drop_lines_after(folder.metrics, step)
        self._lines = open(folder.metrics, "a")  # noqa: SIM115 (closed by close)
        # purge_step hides what an earlier attempt logged beyond the checkpoint that this one goes on from.
        self._events = SummaryWriter(str(folder.tensorboard), purge_step=step + 1)
        if step == 0:
            for summary in hparams(for_hparams(settings.model_dump()), dict.fromkeys(COMPARED, 0.0)):
                self._events.file_writer.add_summary(summary)
        self._trackers = Trackers(folder.path, settings, step)
        self._bar, self._on_terminal = None, sys.stderr.isatty()
        self.unheard = False
        """Whoever read what is printed has gone, as when the connection to a launcher breaks."""
        self._first_step = step
        self._last_step = last_step

    def log(self, step: int, figures: dict[str, float], remaining: float) -> None:
        """remaining: seconds of training that are left."""
        self._write({"step": step, **figures})
        if self._on_terminal:
            # Made only now: what is said while the first steps run would tear it apart.
            self._bar = self._bar or tqdm(
                total=self._last_step, initial=self._first_step, bar_format=BAR, dynamic_ncols=True
            )
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix_str(f"{duration(remaining)} left, {_beside_bar(figures)}")
        else:
            shown = " ".join(f"{name}={figures[name]:.3g}" for name in _shown(figures))
            self._print(f"step {step}/{self._last_step} {shown} eta {duration(remaining)}")

    def validation(self, step: int, figures: dict[str, float]) -> None:
        self._write({"step": step, **figures})
        self.say(f"step {step} " + " ".join(f"{name}={value:.4g}" for name, value in figures.items()))

    def picture(self, step: int, image) -> None:
        image.save(self.folder.picture)
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        self._events.add_image(
            "validation/pair", pixels.view(image.height, image.width, 3), step, dataformats="HWC"
        )

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            self._print(text)

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError:
            self.unheard = True
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the rest of this process)

    def close(self) -> None:
        self._lines.close()
        self._events.close()
        self._trackers.close()
        if self._bar is not None:
            self._bar.close()

    def _write(self, figures: dict[str, float]) -> None:
        self._lines.write(_line(figures))
        self._lines.flush()
        step = int(figures["step"])
        for name, value in figures.items():
            if name != "step":
                self._events.add_scalar(tag_of(name), value, step)
        self._events.flush()
        self._trackers.log(step, {tag_of(name): value for name, value in figures.items() if name != "step"})


def duration(seconds: float) -> str:
    if seconds >= 86400:
        return f"{seconds / 86400:.1f} days"
    return time.strftime("%H:%M:%S", time.gmtime(seconds))


def memory_gigabytes(device: torch.device) -> float:
    """Peak of the device, or what this process holds of the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9


def drop_lines_after(metrics: Path, step: int) -> None:
    """Forgets what an earlier attempt logged beyond the step this one goes on from (and a torn last line)."""
    if not metrics.is_file():
        return
    kept = [
        line
        for line in read_json_lines(metrics)
        if isinstance(line.get("step"), int) and line["step"] <= step
    ]
    write_text(metrics, "".join(_line(figures) for figures in kept))


def _line(figures: dict[str, Any]) -> str:
    return json.dumps(strict(figures), allow_nan=False) + "\n"


def for_hparams(settings: dict[str, Any]) -> dict[str, Any]:
    """What is set, as TensorBoard's table takes it."""
    told = {name: value for name, value in flatten(settings).items() if value is not None}
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in told.items()
    }


def _beside_bar(figures: dict[str, float]) -> str:
    """Short: a terminal's line holds the bar as well."""
    losses = [
        f"{name.removeprefix('loss/')} {figures[name]:.3g}" for name in figures if name.startswith("loss")
    ]
    return f"{' '.join(losses)}, {figures['samples_per_second']:,.0f} pairs/s"


def _shown(figures: dict[str, float]) -> list[str]:
    losses = [name for name in figures if name.startswith("loss")]
    return [*losses, *(name for name in ("lr", "grad_norm", "samples_per_second") if name in figures)]
