"""transformers' own tests of models and processors, as its source distribution carries them.

`INTERBERT_TRANSFORMERS_SOURCE` names a folder with an unpacked one, of the version that is installed; without, it
comes from the package index. Three modules that the distribution leaves out (of exports, of generation, of pictures
on the network) have a stand-in here that holds no tests.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from types import ModuleType

import pytest
import transformers

PACKAGE = "source_of_transformers"
MIXINS_LEFT_OUT_THERE = {
    "exporters.test_export": "ExportTesterMixin",
    "generation.test_utils": "GenerationTesterMixin",
}
PICTURES = "fetch_hub_objects_for_ci"


def module_of(name: str) -> ModuleType:
    """tests/NAME.py of the distribution. Skips where it cannot be had."""
    if PACKAGE not in sys.modules:
        pytest.importorskip("parameterized")
        folder = _folder() / "tests"
        package = ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
        for path, mixin in MIXINS_LEFT_OUT_THERE.items():
            if not (folder / f"{path.replace('.', '/')}.py").is_file():
                sys.modules[f"{PACKAGE}.{path.split('.')[0]}"] = ModuleType(path.split(".")[0])
                sys.modules[f"{PACKAGE}.{path}"] = _module(path, **{mixin: type(mixin, (), {})})
        sys.modules.setdefault(PICTURES, _module(PICTURES, url_to_local_path=lambda url: url))
    return importlib.import_module(f"{PACKAGE}.{name}")


def _module(name: str, **holds: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(holds)
    return made


def _folder() -> Path:
    given = os.environ.get("INTERBERT_TRANSFORMERS_SOURCE")
    if given:
        return Path(given)
    called = f"transformers-{transformers.__version__}"
    cache = Path(tempfile.gettempdir()) / f"interbert_{os.getuid()}"
    if not (cache / called).is_dir():
        with tempfile.TemporaryDirectory() as folder, tarfile.open(_downloaded(folder)) as archive:
            archive.extractall(cache, filter="data")
    return cache / called


def _downloaded(folder: str) -> Path:
    """By pip, as whatever else of Python's packages."""
    wanted = ["--no-deps", "--no-binary", "transformers", f"transformers=={transformers.__version__}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-build-isolation", "--dest", folder]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"the source of transformers cannot be had ({last})")
    (archive,) = Path(folder).glob("transformers-*.tar.gz")
    return archive


def names_of(case: type) -> set[str]:
    """Its tests, those of many parameters by the name that they share."""
    return {
        base_name(name) for name in dir(case) if name.startswith("test_") and callable(getattr(case, name))
    }


def base_name(name: str) -> str:
    """Without what `parameterized` has put behind it."""
    words = name.split("_")
    numbers = [place for place, word in enumerate(words) if word.isdigit() and place > 1]
    # "_2_", "_3_", "_4_" of flash_attn are names.
    numbers = [place for place in numbers if words[place - 1] not in ("attn",)]
    return "_".join(words[: numbers[0]]) if numbers else name


def run_check(case: type, name: str) -> None:
    """All tests of that name, each for itself, as unittest runs them. Skips where all of them were skipped."""
    found = [each for each in dir(case) if callable(getattr(case, each)) and base_name(each) == name]
    assert found, f"{name}: transformers {transformers.__version__} has no such test"
    reasons = []
    for each in found:
        result = unittest.TestResult()
        unittest.TestSuite([case(each)]).run(result)
        for _, trace in [*result.failures, *result.errors]:
            pytest.fail(f"{each}\n{trace}", pytrace=False)
        reasons += [reason for _, reason in result.skipped]
    if len(reasons) == len(found):
        pytest.skip(reasons[0])
