"""Layers computed twice: the same numbers, and less that is kept between the passes."""

import pytest
import torch
from made_batches import make_batch, tiny_config
from torch.autograd.graph import saved_tensors_hooks

from interbert.config import TrainSettings
from interbert.model.interbert import InterBertForPreTraining
from interbert.train.engine.recompute import recompute_layers

LAYER = {"heads": 4, "intermediate_size": 96, "hidden_dropout": 0.2, "attention_dropout": 0.1}
KINDS = {
    "interbert": [("joint", 3), ("text", 2), ("image", 2)],
    "vilbert": [("text", 1), ("cross", 2), ("text", 1), ("image", 1)],
}


def stepped(kind: str, dtype: torch.dtype, recompute: bool) -> tuple[list[torch.Tensor], int]:
    """Gradients of a training step with dropout, and the bytes that autograd kept for it."""
    stages = [{"kind": of, "layers": layers, **LAYER} for of, layers in KINDS[kind]]
    model = InterBertForPreTraining.from_seed(tiny_config(stages=stages), 3).to(dtype).train()
    if recompute:
        recompute_layers(model)
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes * (tensor.data_ptr() not in own)
        return tensor

    torch.manual_seed(7)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.forward_packed(make_batch([7, 4, 9], [5, 8, 3]))
        loss = sum(found.float().square().sum() for found in (output.token_logits_MW, output.match_logits_P2))
        loss = loss + output.region_logits_NK.float().square().sum()
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [loss.detach(), *gradients, torch.rand(3)], kept


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_numbers_from_less_memory(kind, dtype):
    plain, kept = stepped(kind, dtype, recompute=False)
    again, left = stepped(kind, dtype, recompute=True)
    assert len(plain) == len(again) > 60
    for one, other in zip(plain, again, strict=True):  # the generator's next numbers are the last of them
        assert torch.equal(one, other)
    assert left < kept / 3


def test_nothing_is_wrapped_while_nothing_is_learnt():
    stages = [{"kind": "joint", "layers": 1, **LAYER}]
    model = InterBertForPreTraining.from_seed(tiny_config(stages=stages), 3).eval()
    batch = make_batch([7, 4], [5, 8])
    with torch.no_grad():
        before = model.forward_packed(batch).token_logits_MW
        recompute_layers(model)
        assert torch.equal(before, model.forward_packed(batch).token_logits_MW)


def test_layers_are_not_replayed_and_recomputed():
    with pytest.raises(ValueError, match="recompute and cuda_graphs are two ways"):
        TrainSettings(recompute=True, cuda_graphs=True)
