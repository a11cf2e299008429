"""Functions of people's own, named on a command line: FILE.py:NAME, or package.module:NAME."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

WRITTEN = "FILE.py:FUNCTION, or MODULE:FUNCTION"


def load_function(spec: str, what: str) -> Callable[..., Any]:
    """The function that `spec` names. It runs as whoever starts us: only what they themselves name is loaded.

    what: the setting or flag, for messages.
    """
    place, separator, name = spec.rpartition(":")
    if not (separator and place and name.isidentifier()):
        raise ValueError(f"{what}: {spec!r} names no function; write {WRITTEN}")
    try:
        module = (
            _from_file(Path(place).expanduser()) if place.endswith(".py") else importlib.import_module(place)
        )
    except FileNotFoundError:
        raise ValueError(f"{what}: no such file: {place}") from None
    except Exception as error:
        raise ValueError(f"{what}: {place} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        here = [own for own in vars(module) if not own.startswith("_") and callable(getattr(module, own))]
        raise ValueError(
            f"{what}: {place} has no function {name}" + (f", but {', '.join(here)}" if here else "")
        )
    return found


def _from_file(path: Path):
    path = path.resolve(strict=True)
    name = f"interbert_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItStands(name, str(path)))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be found, as by dataclasses and pickle
    spec.loader.exec_module(module)
    return module


class _AsItStands(SourceFileLoader):
    """Nothing that was compiled before: Python takes it for this file's if both are of one second and one size."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)
