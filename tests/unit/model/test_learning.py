"""Everything learns, in every precision, and with nothing to predict too."""

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert import objectives
from interbert.model import InterBertForPreTraining

ALL = ["msm", "mrm", "mrfr", "itm"]


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_parameter_gets_a_finite_gradient(mask, dtype):
    model = InterBertForPreTraining.from_seed(tiny_config(), seed=1).train().to(dtype)
    batch = make_batch([5, 9, 3], [4, 1, 6], mask=mask)
    found = objectives.losses(ALL, model.forward_packed(batch), batch)
    sum(loss.sum for loss in found.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    if not mask:
        for name in ("msm", "mrm", "mrfr"):
            assert found[name].sum.item() == 0.0 and found[name].count.item() == 0, name
        # Nothing was predicted, so these heads must not move.
        for head in ("regions", "features"):
            assert not any(p.grad.any() for p in model.heads[head].parameters()), head
        assert not model.heads["tokens"].transform.dense.weight.grad.any()


def test_heads_that_are_not_asked_for_are_not_run_and_unknown_ones_refused():
    model = InterBertForPreTraining.from_seed(tiny_config(prediction_heads=["tokens", "match"]), seed=1)
    output = model.forward_packed(make_batch([5], [4]), {"match"})
    assert output.token_logits_MW is None and output.match_logits_P2.shape == (1, 2)
    with pytest.raises(ValueError, match="without the heads"):
        model.forward_packed(make_batch([5], [4]), {"regions"})


def test_overfits_eight_pairs():
    torch.manual_seed(0)
    config = tiny_config(
        initializer_range=0.05, hidden_size=48, prediction_heads=["tokens", "regions", "match"]
    )
    for stage in config.stages:
        stage.update(hidden_dropout=0.0, attention_dropout=0.0)
    config.embedding_dropout = config.pooled_dropout = 0.0
    model = InterBertForPreTraining.from_seed(config, seed=1).train()
    batch = make_batch([5, 9, 3, 7, 6, 8, 4, 5], [4, 1, 6, 2, 5, 3, 4, 2])
    batch.class_probs_NK = torch.nn.functional.one_hot(batch.class_labels_N, config.classes).half()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    for _ in range(120):
        optimizer.zero_grad()
        found = objectives.losses(["msm", "mrm", "itm"], model.forward_packed(batch), batch)
        means = {name: loss.sum / loss.count for name, loss in found.items()}
        sum(means.values()).backward()
        optimizer.step()
    assert all(mean.item() < 0.05 for mean in means.values()), means
    assert all(loss.correct == loss.count for loss in found.values())
