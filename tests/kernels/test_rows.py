"""The operations on rows, run by the emulator through torch: against fp64, as operators, in a layer."""

import ctypes
import re
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from interbert.kernels.attend.fused import attention_fused
from interbert.kernels.attend.fused_build import SOURCES
from interbert.kernels.cross_entropy import cross_entropy
from interbert.kernels.divergence import divergence
from interbert.kernels.rows import build, gelu, losses, norm, problems, reference, self_check, serving, table
from interbert.kernels.rows.mask import row_bytes
from interbert.kernels.rows.serving import everywhere
from interbert.model import InterBertConfig
from interbert.model.layers.embeddings import ImageEmbeddings, TextEmbeddings
from interbert.model.layers.encoder import Layer
from interbert.model.layers.linear import apart, passing
from interbert.model.shape.shape import Stage

CPU = torch.device("cpu")
TRIALS = [name for name, *_ in self_check.trials(torch.bfloat16, CPU)]
RNG = torch.tensor([2**61 + 5, 2**33 + 1])


def as_type(x, dtype):
    if isinstance(x, list | tuple):
        return type(x)(as_type(part, dtype) for part in x)
    is_share = isinstance(x, torch.Tensor) and x.dim() == 2 and x.is_floating_point() and bool((x >= 0).all())
    return x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() and not is_share else x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("number", range(len(TRIALS)), ids=TRIALS)
def test_errors_are_at_most_twice_torchs_own(number, dtype):
    _, ours, theirs, given = list(self_check.trials(dtype, CPU))[number]
    got = self_check.results_of(ours, given)
    other = self_check.results_of(theirs, given)
    true = self_check.results_of(theirs, as_type(given, torch.float64))
    for (name, mine), (_, torchs), (_, exact) in zip(got, other, true, strict=True):
        if mine.dtype == torch.bool:
            assert torch.equal(mine, exact)
            continue
        error, allowed = ((x.double() - exact).norm().item() for x in (mine, torchs))
        # Where torch computes in fp32 and rounds nothing, it is rounding to fp32 that is allowed.
        assert error <= 2 * allowed + 1e-6 * exact.norm().item(), (name, error, allowed)


@pytest.mark.slow
def test_equal_bits_whatever_the_threads_do():
    there = build.library(None)
    for _, ours, _, given in self_check.trials(torch.bfloat16, CPU):
        first = self_check.results_of(ours, given)
        there.interbert_emulator_schedule(1, ctypes.c_uint64(5))
        try:
            second = self_check.results_of(ours, given)
        finally:
            there.interbert_emulator_schedule(0, ctypes.c_uint64(0))
        assert all(torch.equal(x, y) for (_, x), (_, y) in zip(first, second, strict=True))


def test_a_trial_passes_in_the_emulator_and_a_wrong_operation_fails_it(monkeypatch):
    with torch.inference_mode():
        assert self_check.check(CPU) is None
    monkeypatch.setattr(gelu, "bias_gelu", lambda x, bias: F.gelu(x + bias) * 1.1)
    assert "GELU of 3072, torch.float16: result is off by" in self_check.check(CPU)


def test_dropped_shares_are_even_and_streams_differ():
    drawn = row_bytes(RNG, 0, 64, 768)
    counts = drawn.flatten().long().bincount(minlength=256).float()
    assert 150 < ((counts - 192) ** 2 / 192).sum().item() < 380  # 255 degrees of freedom: 255 ± 23
    assert not torch.equal(drawn, row_bytes(RNG, 1, 64, 768)) and not torch.equal(drawn[0], drawn[1])


def test_dropout_without_a_seed_follows_torch():
    x, weight = torch.randn(5, 64).half(), torch.ones(64).half()

    def drawn(seed):
        torch.manual_seed(seed)
        return norm.add_norm(x, x, weight, weight, 1e-5, 0.5)

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))


def test_parameters_may_lie_anywhere_and_rows_may_be_none():
    whole = torch.randn(3 * 64 + 3).bfloat16()
    apart = [whole[start : start + 64] for start in (1, 66, 130)]
    x = torch.randn(4, 64).bfloat16()
    for function, parameters in ((norm.norm_drop, 2), (gelu.bias_gelu, 1)):
        given = ([(x, None)], *apart[:2], 1e-5) if parameters == 2 else (x, apart[0])
        clones = [y.clone() if isinstance(y, torch.Tensor) else y for y in given]
        assert torch.equal(function(*given), function(*clones))
    none = x[:0].requires_grad_()
    out = gelu.bias_gelu(none, apart[0].clone().requires_grad_())
    assert out.shape == (0, 64) and torch.autograd.grad(out.sum(), none)[0].shape == (0, 64)
    shift = torch.zeros(64).bfloat16().requires_grad_()
    out = norm.add_norm(none, none, shift, shift, 1e-5)
    assert torch.equal(torch.autograd.grad(out.sum(), shift)[0], shift)


@pytest.mark.slow
def test_operators_are_well_formed():
    x, y, w, b = (torch.randn(n).bfloat16().requires_grad_() for n in ((5, 64), (5, 64), (64,), (64,)))
    norms = (x, None, y, None, None, None, b, w, b, RNG)
    ops = torch.ops.interbert
    for dropped in (0, 26):
        torch.library.opcheck(ops.row_norm, (*norms[:-1], RNG if dropped else None, 3, dropped, False, 1e-5))
    ids = torch.randint(5, (9,))
    torch.library.opcheck(ops.row_norm, (x, ids, y, ids, None, None, None, w, b, RNG, 0, 26, True, 1e-5))
    torch.library.opcheck(ops.bias_gelu, (x, w))
    logits = torch.randn(5, 7).half().requires_grad_()
    torch.library.opcheck(ops.row_loss, (logits, torch.randint(7, (5,)), None, -100))
    torch.library.opcheck(ops.row_loss, (logits, None, torch.randn(5, 7).softmax(-1).half(), 0))


STAGE = Stage(
    kind="joint", layers=1, heads=1, intermediate_size=128, hidden_dropout=0.1, attention_dropout=0.1
)


def make_layer(dtype, dropout=0.1):
    torch.manual_seed(1)
    layer = Layer(64, STAGE, 1e-5).to(dtype)
    layer.hidden_dropout = layer.attention_dropout = dropout
    return layer, torch.randn(30, 64).to(dtype)


def attend(qkv, p):
    return attention_fused(qkv, torch.tensor([0, 20, 30], dtype=torch.int32), 20, p, RNG, None)


def plain(qkv, p):
    parts = []
    for part in qkv.split([20, 10]):
        q, k, v = part.permute(1, 2, 0, 3)
        parts.append(F.scaled_dot_product_attention(q, k, v).transpose(0, 1))
    return torch.cat(parts)


def both_passes(layer, x, attend, call=lambda function, *given: function(*given)):
    x = x.detach().requires_grad_()
    out = call(layer, x, attend)
    grads = torch.autograd.grad(out, [x, *layer.parameters()], torch.ones_like(out).cumsum(1) / 64)
    return [out.detach(), *grads]


def test_a_layer_of_them_is_the_layer():
    exact = both_passes(*make_layer(torch.float64, 0.0), plain)
    theirs = both_passes(*make_layer(torch.bfloat16, 0.0), plain)
    with everywhere():
        ours = both_passes(*make_layer(torch.bfloat16, 0.0), attend)
    for mine, other, true in zip(ours, theirs, exact, strict=True):
        error, allowed = ((y.double() - true).norm().item() for y in (mine, other))
        assert error <= 2 * allowed + 1e-3 * true.norm().item(), (error, allowed)


def test_a_layer_traces_whole_and_is_drawn_again_by_checkpointing():
    layer, x = make_layer(torch.bfloat16)
    with everywhere():
        torch.manual_seed(7)
        eager = both_passes(layer, x, attend)
        torch.manual_seed(7)
        kept = both_passes(layer, x, attend, partial(checkpoint, use_reentrant=False))
        torch.compiler.reset()
        torch.manual_seed(7)
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        traced = both_passes(compiled, x, attend)
    for one, two, three in zip(eager, kept, traced, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)
    assert not torch.equal(eager[0], layer.eval()(x, attend))


def test_embeddings_are_one_operation_and_the_same():
    config = InterBertConfig.from_preset("tiny", "interbert", vocab_size=50, feature_width=8, classes=4)
    torch.manual_seed(0)
    text, image = TextEmbeddings(config).bfloat16().eval(), ImageEmbeddings(config).bfloat16().eval()
    ids, places, types = (torch.randint(n, (9,)) for n in (50, 20, 2))
    features, boxes = torch.randn(9, 8).bfloat16(), torch.rand(9, 5).bfloat16()

    def passes():
        outs = text(ids, places, types), image(features, boxes, text.norm)
        parameters = [*text.parameters(), *image.parameters()]
        # Along a direction: the square of a norm's result hardly changes, whatever comes in.
        along = sum(
            (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out).roll(7)).sum() for out in outs
        )
        grads = torch.autograd.grad(along, parameters, allow_unused=True)
        return [*outs, *(g for g in grads if g is not None)]

    theirs = passes()
    with everywhere():
        ours = passes()
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=3e-2, atol=3e-2 * other.abs().max().item())


def test_losses_go_through_them():
    logits = torch.randn(6, 11).bfloat16()
    target, share = torch.tensor([3, -100, 0, 10, 5, 5]), (torch.randn(6, 11) * 3).softmax(-1).half()
    plain = *cross_entropy(logits, target, -100), *divergence(logits, share)
    with everywhere():
        assert serving.serves_loss(logits)
        ours = *cross_entropy(logits, target, -100), *divergence(logits, share)
    assert all(torch.allclose(x.float(), y.float(), rtol=1e-5) for x, y in zip(ours, plain, strict=True))


def test_losses_of_rows_that_begin_anywhere():
    """A slice of rows of odd length begins at no multiple of 16 bytes."""
    all_logits, all_shares = torch.randn(5, 1601).half(), torch.randn(5, 1601).softmax(-1).half()
    target = torch.randint(1601, (4,))
    for logits in (all_logits[1:], all_logits[1:].clone()):
        for share in (None, all_shares[1:], all_shares[1:].clone()):
            x = logits.detach().requires_grad_()
            loss = losses.cross_entropy(x, target, -1)[0] if share is None else losses.divergence(x, share)[0]
            (grad,) = torch.autograd.grad(loss.sum(), x)
            y = logits.float().requires_grad_()
            if share is None:
                plain = F.cross_entropy(y, target, reduction="none")
            else:
                plain = F.kl_div(y.log_softmax(-1), share.float(), reduction="none").sum(-1)
            torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(
                grad.float(), torch.autograd.grad(plain.sum(), y)[0], rtol=2e-2, atol=1e-4
            )


def test_a_target_that_is_no_class_gives_no_loss():
    loss, _ = losses.cross_entropy(torch.randn(3, 11).half(), torch.tensor([11, -7, -100]), -100)
    assert loss[:2].isnan().all() and loss[2] == 0


def test_weights_that_deepspeed_gathers_by_the_module_are_left_to_torch():
    layer, x = make_layer(torch.bfloat16)
    tables = TextEmbeddings(InterBertConfig.from_preset("tiny")).bfloat16()
    with everywhere():
        assert apart(layer.out, x)[1] is not None and passing(layer.qkv, x)[1] is not x and tables._served()
        for weight in (layer.out.weight, layer.qkv.weight, tables.positions.weight):
            weight.ds_id = 0
        assert apart(layer.out, x)[1] is None and passing(layer.qkv, x)[1] is x and not tables._served()


def test_what_is_no_number_stays_none():
    logits, share = torch.zeros(3, 40).half(), torch.full((3, 40), 1 / 40).half()
    logits[0, 3], logits[1], logits[2, 1:] = torch.nan, torch.nan, -torch.inf
    for loss, _ in (
        losses.cross_entropy(logits, torch.zeros(3).long(), -100),
        losses.divergence(logits, share),
    ):
        assert loss[:2].isnan().all() and not loss[2].isnan()


def test_what_is_served_is_what_the_table_says():
    rows, width = torch.zeros(3, 64).bfloat16(), torch.zeros(64).bfloat16()
    assert table.norm_fits(rows, width) and not serving.serves_norm(rows, width)  # a CPU
    with everywhere():
        assert serving.serves_norm(rows, width)
        assert not serving.serves_norm(rows.float(), width.float()) and not serving.serves_norm(
            rows, width.half()
        )
        assert not serving.serves(torch.zeros(3, 12).half())
        wide = torch.zeros(2, 1032).half()
        assert serving.serves(wide) and not serving.serves_norm(wide, torch.zeros(1032).half())
    with pytest.raises(RuntimeError, match="interbert_row_norm failed"):
        norm.norm_drop([(wide, None)], wide[0].clone(), wide[0].clone(), 1e-5)


@pytest.mark.parametrize("name", ["RowNorm", "Gelu", "RowLoss", "Columns"])
def test_problems_lie_in_memory_as_their_twins(name):
    texts = [(SOURCES / file).read_text() for file in ("rows.h", "row_norm.h", "row_gelu.h", "row_losses.h")]
    body = re.search(rf"struct {name} \{{\n(.*?)\}};", "\n".join(texts), re.DOTALL)[1]
    kinds = {"int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "float": ctypes.c_float}
    fields = []
    for line in body.splitlines():
        declared = line.split(";")[0].strip()
        kind = ctypes.c_void_p if "*" in declared else kinds[declared.split()[0]]
        fields += [(found, kind) for found in re.findall(r"(\w+)(?:\[\w+\])?(?=,|$)", declared)]
    told = [(field, getattr(kind, "_type_", kind)) for field, kind in getattr(problems, name)._fields_]
    assert fields == [(field, ctypes.c_void_p if kind == "P" else plain_type(kind)) for field, kind in told]


def plain_type(kind):
    """ctypes' own have a letter for a type."""
    return {"i": ctypes.c_int32, "q": ctypes.c_int64, "l": ctypes.c_int64, "f": ctypes.c_float}.get(
        kind, kind
    )


def test_reference_is_what_the_loss_was():
    logits = torch.randn(4, 9)
    share = torch.randn(4, 9).softmax(-1)
    expected = F.kl_div(logits.log_softmax(-1), share, reduction="none").sum(-1)
    assert torch.equal(reference.divergence(logits, share)[0], expected)
