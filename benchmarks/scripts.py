"""The launchers' scripts, as a benchmark runs them: one rank on one thread, what they say in a file."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_script(words: list[str | Path], folder: Path) -> None:
    """words: the script's path in the project, and its arguments. Ends the whole where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    script, *rest = map(str, words)
    with open(folder / "log.txt", "a") as log:
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *rest],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{script} failed; see {folder / 'log.txt'}")
