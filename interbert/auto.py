"""`import interbert`, and transformers' Auto classes know our models, in whatever order the two are imported.

transformers takes seconds to import and may not be needed: so ours are registered when its registry is imported.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

OURS = {
    "transformers.models.auto.configuration_auto": ("interbert.model.shape.configuration",),
    "transformers.models.auto.modeling_auto": ("interbert.model.register",),
    "transformers.models.auto.processing_auto": ("interbert.inference.processor",),
}
"""What registers there when it is imported."""


class _Watch(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in OURS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_register(module: ModuleType) -> None:
            run(module)
            _register(name)

        spec.loader.exec_module = run_and_register
        return spec


def _register(name: str) -> None:
    for ours in OURS[name]:
        importlib.import_module(ours)


def watch() -> None:
    """Once, by `interbert/__init__.py`."""
    sys.meta_path.insert(0, _Watch())
    for name in OURS:
        if name in sys.modules:
            _register(name)
