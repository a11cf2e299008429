"""`--profile a:b`: a trace of steps a to b, for chrome://tracing or Perfetto."""

import logging
from pathlib import Path

from interbert.config import SettingsError

log = logging.getLogger(__name__)


class StepProfiler:
    """Records while steps first..last run; does nothing when there is no window."""

    def __init__(self, window: tuple[int, int] | None, folder: Path, rank: int) -> None:
        self.window = window
        self.path = folder / f"trace_rank{rank}.json"
        self._profile = None

    def step(self, done: int) -> None:
        """To be called before the first step and after each one, with the number of steps done."""
        if self.window is None:
            return
        import torch
        from torch.profiler import ProfilerActivity, profile

        first, last = self.window
        if self._profile is None and first - 1 <= done < last:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available():
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities)
            self._profile.start()
        elif done >= last:
            self.close()

    def close(self) -> None:
        if self._profile is None and self.window is not None:
            log.warning("--profile %d:%d: no such step was trained; nothing was recorded", *self.window)
        if self._profile is not None:
            self._profile.stop()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._profile.export_chrome_trace(str(self.path))
            self._profile, self.window = None, None


def parse_window(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, separator, last = text.partition(":")
    if not (separator and first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise SettingsError(f"--profile {text!r}: give the first and last step to record, for example 10:12")
    return int(first), int(last)
