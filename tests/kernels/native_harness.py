"""Runs the tests of the CPU kernels, those of tests/unit/kernels, on a library of their own, under sanitizers too.

It is the portable build, so any machine will do.
"""

import os
import subprocess
import sys
from pathlib import Path

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
TESTS = [f"{Path(__file__).parents[1]}/unit/kernels/test_native{part}.py" for part in ("", "_library")]


def complaint(library: Path, which: str = "portable", **environment: str) -> str | None:
    """What the tests say of a library; None when all is well."""
    command = [sys.executable, "-m", "pytest", "-x", "-s", "-k", which, "-p", "no:cacheprovider", *TESTS]
    variables = {**os.environ, "PORTABLE_LIBRARY": str(library), **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600, check=False)
    assert done.returncode not in (2, 3, 4, 5), f"the tests did not run: {done.stdout}{done.stderr}"
    return None if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}{done.stderr}"


def sanitized() -> dict[str, str]:
    """Python itself is not built with them: their library comes first, and the leaks are not ours."""
    where = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return {"LD_PRELOAD": where.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
