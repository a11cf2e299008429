"""What the parts find around them: packages, folders to write in, and whether there is a GPU."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu_parts.parts import ROOT


def environment_of(wheels: Path | None, folder: Path) -> dict[str, str]:
    """This checkout first, then what was carried along; nothing is asked of a network."""
    paths = [str(ROOT)]
    if wheels:
        install(wheels, folder / "site")
        paths.append(str(folder / "site"))
    found = dict(os.environ)
    programs = [str(Path(sys.executable).parent), *(f"{path}/bin" for path in paths[1:])]
    found["PATH"] = os.pathsep.join([*programs, found.get("PATH", os.defpath)])
    found["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [found.get("PYTHONPATH")])])
    found |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    home = found.get("HOME")
    if not home or not os.access(home, os.W_OK):
        found["HOME"] = str(folder)  # compiled kernels are kept below it, ours and Triton's
    return found


def install(wheels: Path, site: Path) -> None:
    files = sorted(map(str, wheels.glob("*.whl")))
    if not files:
        raise SystemExit(f"no wheels in {wheels}: docs/gpu.md says how they are got")
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--root-user-action", "ignore"]
    options += ["--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=True)


def device_here(environment: dict[str, str]) -> str:
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"]
    said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    if said.returncode:
        raise SystemExit(f"{sys.executable} has no torch that works:\n{said.stderr}")
    return "cuda" if said.stdout.split()[-1] == "True" else "cpu"


def without_gpu() -> dict[str, str]:
    """Also where there is one."""
    return {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
