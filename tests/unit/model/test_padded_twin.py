"""The packed forward against its padded twin and against each pair on its own."""

import pytest
import torch
from made_batches import make_batch, single_pair, tiny_config

from interbert import objectives
from interbert.model import InterBertForPreTraining
from interbert.model.padded import forward_padded

OBJECTIVES = ["msm", "mrm", "itm"]


def model_of(**override) -> InterBertForPreTraining:
    return InterBertForPreTraining.from_seed(tiny_config(**override), seed=1).eval()


def gradients(model, output, batch):
    model.zero_grad()
    found = objectives.losses(OBJECTIVES, output, batch)
    sum(loss.sum for loss in found.values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("global_token", ["after_masking", "before_masking", "none"])
@pytest.mark.parametrize("fusion", ["mul", "sum"])
def test_packed_equals_padded_in_outputs_and_gradients(global_token, fusion):
    """In fp64, where orders of sums leave the sixth digit alone on every processor."""
    model = model_of(global_token=global_token, fusion=fusion).double()
    batch = make_batch([5, 9, 3, 7], [4, 1, 6, 2])
    for name in ("features_RD", "boxes_R5", "class_probs_NK"):
        setattr(batch, name, getattr(batch, name).double())
    packed = model.forward_packed(batch, {"tokens", "regions", "match"})
    padded = forward_padded(model, batch, text_width=11, region_width=8)
    for name in (
        "text_hidden_TH",
        "image_hidden_VH",
        "token_logits_MW",
        "region_logits_NK",
        "match_logits_P2",
    ):
        torch.testing.assert_close(
            getattr(packed, name), getattr(padded, name), rtol=1e-6, atol=1e-6, msg=name
        )
    of_packed, of_padded = gradients(model, packed, batch), gradients(model, padded, batch)
    assert of_packed.keys() == of_padded.keys()
    for name, gradient in of_packed.items():
        torch.testing.assert_close(
            gradient, of_padded[name], rtol=1e-6, atol=1e-6 * gradient.abs().max(), msg=name
        )


def test_a_pair_sees_nothing_of_its_neighbours():
    model = model_of()
    batch = make_batch([5, 9, 3], [4, 1, 6])
    together = model.forward_packed(batch)
    for pair in range(3):
        alone = model.forward_packed(single_pair(batch, pair))
        torch.testing.assert_close(
            together.match_logits_P2[pair], alone.match_logits_P2[0], rtol=1e-5, atol=1e-5
        )
        rows = slice(*batch.cu_text[pair : pair + 2].tolist())
        torch.testing.assert_close(together.text_hidden_TH[rows], alone.text_hidden_TH, rtol=1e-5, atol=1e-5)


def test_trailing_empty_pairs_change_nothing_for_the_others():
    model = model_of()
    batch, longer = make_batch([5, 9], [4, 2]), make_batch([5, 9, 0], [4, 2, 0])
    longer.is_match_P[2] = objectives.IGNORED
    plain, with_tail = model.forward_packed(batch), model.forward_packed(longer)
    torch.testing.assert_close(with_tail.match_logits_P2[:2], plain.match_logits_P2, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(with_tail.text_hidden_TH, plain.text_hidden_TH, rtol=1e-5, atol=1e-5)
    of_tail = objectives.losses(OBJECTIVES, with_tail, longer)
    for name, loss in objectives.losses(OBJECTIVES, plain, batch).items():
        torch.testing.assert_close(of_tail[name].sum, loss.sum, rtol=1e-5, atol=1e-5)
        assert of_tail[name].count == loss.count


def test_the_global_token_is_computed_after_masking():
    batch = make_batch([5, 6], [4, 4])
    changed = make_batch([5, 6], [4, 4])
    changed.features_RD = torch.where(batch.zeroed_R[:, None], batch.features_RD + 5, batch.features_RD)
    assert batch.zeroed_R.any()
    hidden = {}
    for kind in ("after_masking", "before_masking"):
        model = model_of(global_token=kind)
        hidden[kind] = [model.forward_packed(b).image_hidden_VH for b in (batch, changed)]
    assert torch.equal(*hidden["after_masking"])
    assert not torch.allclose(*hidden["before_masking"])


def test_the_global_feature_divides_by_all_regions_and_stands_first():
    model = model_of()
    batch = make_batch([5, 6], [4, 3])
    layout = model.interbert.layout_of(batch)
    seen = {}
    model.interbert.image_embeddings.register_forward_pre_hook(
        lambda _, args: seen.update(f=args[0], b=args[1])
    )
    model.forward_packed(batch)
    visible = batch.features_RD.masked_fill(batch.zeroed_R[:, None], 0)
    torch.testing.assert_close(seen["f"][0], visible[:4].sum(0) / 4)
    torch.testing.assert_close(seen["f"][5], visible[4:].sum(0) / 3)
    assert seen["b"][5].tolist() == [0, 0, 1, 1, 1]
    assert layout.image_first_P.tolist() == [0, 5]
    assert torch.equal(seen["f"][layout.region_rows_R], visible)
