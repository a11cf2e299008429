"""NVIDIA apex is told from the web toolkit of the same name, and its LayerNorm used on CUDA alone."""

import logging
import sys
from types import ModuleType

import pytest
import torch

from interbert.kernels.apex import apex_symbol
from interbert.model.layers.norm import LayerNorm


@pytest.fixture
def apex_modules(monkeypatch):
    """Puts modules in the place of the package `apex`."""

    def install(**modules: ModuleType) -> None:
        for name in ("apex", "apex.normalization", "apex.optimizers"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
        apex_symbol.cache_clear()

    yield install
    apex_symbol.cache_clear()


def test_the_web_toolkit_called_apex_is_not_mistaken_for_it(apex_modules, caplog):
    toolkit = ModuleType("apex")
    toolkit.__path__ = []  # a package, with other submodules
    toolkit.routes = object()
    apex_modules(apex=toolkit, apex__optimizers=ModuleType("apex.optimizers"))
    with caplog.at_level(logging.INFO):
        assert [apex_symbol(name) for name in ("FusedLayerNorm", "FusedAdam", "FusedLAMB")] == [None] * 3
        apex_symbol("FusedLAMB")
    lines = [r.message for r in caplog.records if r.name == "interbert.kernels.apex"]
    assert len(lines) == 3 and "no apex.optimizers.FusedLAMB" in lines[2]


def test_the_right_apex_is_found_and_logged(apex_modules, caplog):
    optimizers = ModuleType("apex.optimizers")
    optimizers.FusedLAMB = type("FusedLAMB", (), {})
    package = ModuleType("apex")
    package.__path__ = []
    apex_modules(apex=package, apex__optimizers=optimizers)
    with caplog.at_level(logging.INFO):
        assert apex_symbol("FusedLAMB") is optimizers.FusedLAMB
    assert "found" in caplog.text


def test_layer_norm_takes_the_fused_one_on_cuda_only(monkeypatch):
    class Fused:
        def forward(self, x):
            return "fused", self.weight.shape, self.eps, self.memory_efficient

    monkeypatch.setattr(
        "interbert.model.layers.norm.apex_symbol", lambda name: Fused if name == "FusedLayerNorm" else None
    )
    norm = LayerNorm(4, eps=1e-12)
    assert isinstance(norm(torch.ones(2, 4)), torch.Tensor)

    class OnCuda:
        is_cuda, dtype, shape, device = True, torch.float32, (2, 4), torch.device("cuda")

        def dim(self) -> int:
            return 2

    assert norm.forward(OnCuda())[0] == "fused"
