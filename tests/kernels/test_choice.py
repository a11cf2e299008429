"""Whether the fused kernels are taken, and what is said when they are not."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch

from interbert.kernels.attend import self_check
from interbert.kernels.attend.attention import _choose, fused_unusable
from interbert.kernels.compile import Unavailable

# The package offers the function under the module's name.
chooser = importlib.import_module("interbert.kernels.attend.attention")


def looks_like_cuda(width=64, dtype=torch.bfloat16, training=True):
    return SimpleNamespace(
        shape=(100, 3, 2, width),
        device=torch.device("cuda"),
        dtype=dtype,
        requires_grad=training,
        is_cuda=True,
    )


@pytest.fixture
def hopper(monkeypatch):
    """A GPU whose kernels were built and trusted."""
    monkeypatch.setattr(chooser, "architecture", lambda device: 90)
    monkeypatch.setattr(chooser, "library", lambda width, arch: None)
    monkeypatch.setattr(chooser, "failed_check", lambda width, device: None)
    monkeypatch.setattr(chooser, "flash_unusable", lambda qkv: None)


def test_fused_is_first(hopper):
    assert _choose(looks_like_cuda(), 140) == ("fused", "our own kernel")
    assert _choose(looks_like_cuda(training=False), 250)[0] == "fused"


@pytest.mark.parametrize(
    ("given", "longest", "reason"),
    [
        ({"width": 80}, 50, "head width 80"),
        ({}, 161, "161 tokens on sm_90"),
        ({"dtype": torch.float32}, 50, "torch.float32"),
    ],
)
def test_what_is_not_in_the_table_goes_on_to_flash(hopper, given, longest, reason):
    backend, said = _choose(looks_like_cuda(**given), longest)
    assert backend == "flash" and reason in said


def test_the_choice_is_made_before_torch_compile_looks_on(monkeypatch):
    asked = []

    def choose(qkv, longest):
        asked.append((qkv.shape[-1], qkv.dtype, qkv.requires_grad, longest))
        return "host", "the emulator, for this test"

    monkeypatch.setattr(chooser, "_choose", choose)
    rng = torch.tensor([1, 2])

    def attend(x, cu, longest):
        return chooser.attention(x * 2, cu, longest, 0.1, rng) + 1

    torch.compiler.reset()
    whole = torch.compile(attend, backend="aot_eager", fullgraph=True)
    for longest in (9, 11, 14):  # of another length each, as batches are
        cu = torch.tensor([0, longest, longest + 4], dtype=torch.int32)
        qkv = torch.randn(longest + 4, 3, 1, 64).bfloat16().requires_grad_()
        given = qkv, cu, longest
        passes = [(out := one(*given), torch.autograd.grad(out.sum(), qkv)[0]) for one in (attend, whole)]
        assert all(torch.equal(x, y) for x, y in zip(*passes, strict=True))
    assert set(asked) == {(64, torch.bfloat16, True, 16)}


def test_no_compiler_no_fused(hopper, monkeypatch):
    def missing(width, arch):
        raise Unavailable("no nvcc: install the CUDA toolkit, or set CUDA_HOME")

    monkeypatch.setattr(chooser, "library", missing)
    monkeypatch.setattr(chooser, "flash_unusable", lambda qkv: "no flash here")
    backend, said = _choose(looks_like_cuda(), 50)
    assert backend == "sdpa" and "no nvcc" in said and "no flash here" in said


def test_a_failed_trial_is_a_reason(hopper, monkeypatch):
    monkeypatch.setattr(chooser, "failed_check", lambda width, device: "forward is off by 0.5")
    assert "off by 0.5" in fused_unusable(looks_like_cuda(), 50)


@pytest.mark.slow
def test_a_trial_passes_in_the_emulator():
    for asking in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with asking():
            assert self_check.check(64, torch.device("cpu"), seconds=0.3) is None


def test_a_wrong_kernel_fails_its_trial(monkeypatch):
    wrong = lambda qkv, *rest: qkv[:, 2] * 1.1  # noqa: E731
    monkeypatch.setattr(self_check, "attention_fused", wrong)
    assert "forward is off by" in self_check.check(64, torch.device("cpu"))
    monkeypatch.setattr(self_check, "attention_fused", lambda qkv, *rest: qkv[:, 2] * float("nan"))
    assert "forward is off by nan" in self_check.check(64, torch.device("cpu"))


def test_a_trial_tries_both_types_and_what_is_only_served_forward(monkeypatch):
    tried = []
    monkeypatch.setattr(self_check, "compare", lambda *what: tried.append(what))
    cpu = torch.device("cpu")
    assert self_check.check(64, cpu, seconds=-1) is None
    assert {what[2] for what in tried[1:]} == {torch.float16, torch.bfloat16}  # however little time there is
    assert self_check.trials(64, cpu)[:2] == [(160, True), (256, False)]
    assert self_check.trials(96, cpu)[0] == (128, True) and all(
        both for _, both in self_check.trials(96, cpu)
    )


def test_a_kernel_that_cannot_start_is_a_reason_too(monkeypatch, tmp_path):
    def too_old(*arguments):
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")

    (tmp_path / "library.json").write_text("")  # a verdict that a full disk cut off
    monkeypatch.setattr(self_check, "compiled", lambda width, arch: tmp_path / "library.so")
    monkeypatch.setattr(self_check, "check", too_old)
    self_check.failed_check.cache_clear()
    assert "driver version is insufficient" in self_check.failed_check(64, torch.device("cpu"))
    self_check.failed_check.cache_clear()


def test_what_says_nothing_of_the_numbers_is_not_kept(monkeypatch, tmp_path):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    monkeypatch.setattr(self_check, "compiled", lambda width, arch: tmp_path / "library.so")
    monkeypatch.setattr(self_check, "check", full)
    self_check.failed_check.cache_clear()
    assert "out of memory" in self_check.failed_check(64, torch.device("cpu"))
    self_check.failed_check.cache_clear()
    monkeypatch.setattr(self_check, "check", lambda width, device: None)
    assert self_check.failed_check(64, torch.device("cpu")) is None
    self_check.failed_check.cache_clear()


def test_a_verdict_is_kept_with_the_library(monkeypatch, tmp_path):
    monkeypatch.setattr(self_check, "compiled", lambda width, arch: tmp_path / "library.so")
    monkeypatch.setattr(self_check, "check", lambda width, device: "it is wrong")
    self_check.failed_check.cache_clear()
    assert self_check.failed_check(64, torch.device("cpu")) == "it is wrong"
    assert json.loads((tmp_path / "library.json").read_text())["wrong"] == "it is wrong"
    self_check.failed_check.cache_clear()
    monkeypatch.setattr(self_check, "check", lambda width, device: pytest.fail("asked again"))
    assert self_check.failed_check(64, torch.device("cpu")) == "it is wrong"
    self_check.failed_check.cache_clear()
