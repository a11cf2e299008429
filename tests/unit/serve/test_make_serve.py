"""`make serve` again, after its model was distilled anew: an index of the old one is not taken for the new one's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON = f"""#!{sys.executable}
import pathlib, subprocess, sys
if sys.argv[1] == "-c":  # the real one
    sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))
said = sys.argv[3:]
with open("said", "a") as file:
    print(*said, file=file)
if "--output" in said:
    made = pathlib.Path(said[said.index("--output") + 1])
    made.parent.mkdir(parents=True, exist_ok=True)
    made.touch()
"""


@pytest.fixture
def make(tmp_path):
    """With a python that notes what it is told to do; what was told at this call."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("requirements.txt", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).touch()
    stub = tmp_path / ".venv" / "bin" / "python"
    stub.write_text(PYTHON)
    stub.chmod(0o755)

    # Not what a `make test` around this was given.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "RECIPE"))}

    def call() -> list[str]:
        command = ["make", "-s", "-f", ROOT / "Makefile", "serve"]
        subprocess.run(command, cwd=tmp_path, check=True, env=own | {"PYTHONPATH": str(ROOT)})
        said = (tmp_path / "said").read_text().splitlines()
        (tmp_path / "said").unlink()
        return said

    return call


def test_a_model_that_is_distilled_anew_gets_an_index_of_its_own(make, tmp_path):
    config = tmp_path / "runs" / "scenes_distill" / "export" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text("{}")
    first, again = make(), make()
    config.write_text('{"other": 1}')
    anew = make()

    def verbs(said):
        return [line.split(" -")[0] for line in said]

    assert verbs(first) == ["distill", "scenes", "index build", "serve"]
    assert verbs(again) == ["distill", "serve"] and again[-1] == first[-1]
    assert verbs(anew) == ["distill", "index build", "serve"] and anew[-1] != first[-1]
    assert anew[-1].split()[2] in anew[1]
