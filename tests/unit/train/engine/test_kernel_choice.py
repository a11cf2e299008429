"""Ranks on unlike hosts use the same kernels."""

import logging
from dataclasses import dataclass, field
from functools import cache

import pytest
import torch

from interbert.kernels.attend import fused_build
from interbert.kernels.compile import Unavailable
from interbert.kernels.cpu import native
from interbert.kernels.rows import build, serving
from interbert.model import InterBertConfig
from interbert.ranks.distributed import Ranks
from interbert.train.engine import kernel_choice
from interbert.train.engine.kernel_choice import agree_on_kernels

CONFIG = InterBertConfig.from_preset("tiny", "interbert", vocab_size=50, feature_width=8, classes=4)


@dataclass
class Told(Ranks):
    """Rank 0, and what the others say."""

    others: list = field(default_factory=list)

    def gather(self, value):
        return [value, *self.others]


def ranks(device, *others):
    return Told(0, 1 + len(others), 0, torch.device(device), "test", others=list(others))


@pytest.fixture
def hopper(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(kernel_choice, "fused_refusal", lambda width, device: None)
    monkeypatch.setattr(fused_build, "_failures", {})
    monkeypatch.setattr(serving, "refusal", cache(lambda device, name: None))
    monkeypatch.setattr(build, "_failures", {})
    for library in (fused_build.library, build.library):
        library.cache_clear()
    yield
    for library in (fused_build.library, build.library):
        library.cache_clear()


def test_one_rank_without_a_compiler_and_no_rank_uses_the_kernels(hopper, caplog):
    agree_on_kernels(CONFIG, "bf16", ranks("cuda", None, "no nvcc: install it", "off by 0.5"))
    with pytest.raises(Unavailable, match="rank 2: no nvcc: install it"):
        fused_build.library(32, 90)
    assert caplog.messages == [
        "operations on rows: torch's on all ranks (rank 2: no nvcc: install it)",
        "GELU within products: apart on all ranks (rank 2: no nvcc: install it)",
        "fused attention, head width 32: used by no rank (rank 2: no nvcc: install it)",
    ]


def test_operations_on_rows_are_all_ranks_or_nobodys(hopper, caplog):
    agree_on_kernels(CONFIG, "bf16", ranks("cuda", None))
    assert not build._failures
    agree_on_kernels(CONFIG, "bf16", ranks("cuda", "GELU of 72: result is off by 0.5"))
    with pytest.raises(Unavailable, match="rank 1: GELU of 72"):
        build.library(90)
    assert (
        "operations on rows: torch's on all ranks (rank 1: GELU of 72: result is off by 0.5)"
        in caplog.messages
    )


@pytest.mark.parametrize("others", [(None, None), ("no nvcc", "no nvcc")])
def test_where_ranks_are_of_one_mind_nothing_is_refused(hopper, monkeypatch, others, caplog):
    if others[0]:
        monkeypatch.setattr(kernel_choice, "fused_refusal", lambda width, device: "no nvcc")
        monkeypatch.setattr(serving, "refusal", cache(lambda device, name: "no nvcc"))
    agree_on_kernels(CONFIG, "bf16", ranks("cuda", *others))
    assert not fused_build._failures and not caplog.messages


def test_native_kernels_too(monkeypatch, caplog):
    monkeypatch.setattr(native, "_refused", "")
    monkeypatch.setattr(native, "refusal", lambda: None)
    with caplog.at_level(logging.INFO):
        agree_on_kernels(CONFIG, "bf16", ranks("cpu", "no g++: install g++ 12 or later"))
        assert native.library() is None
    native._found.cache_clear()
    assert "native CPU kernels: not used (rank 1: no g++: install g++ 12 or later)" in caplog.messages


def test_nobody_is_asked_where_nothing_hangs_on_it(monkeypatch):
    monkeypatch.setattr(native, "refusal", lambda: pytest.fail("asked"))
    agree_on_kernels(CONFIG, "fp32", ranks("cpu", None))
    agree_on_kernels(CONFIG, "bf16", ranks("cpu"))
