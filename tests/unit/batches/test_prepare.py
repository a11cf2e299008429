"""What is in a batch: the store's and the captions' own, masked within the capacities."""

import numpy as np
import pytest
import torch
from loaded import MIXED, load
from small_world import CLASSES, WordTokenizer, settings, write_store

from interbert.batches.plan import Plan
from interbert.batches.prepare import box_shares
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table


def test_a_batch_holds_what_the_store_and_the_captions_say(corpus):
    wanted = settings(**MIXED)
    tokens = token_table(corpus, WordTokenizer(), 12)
    truncated = false = 0
    for _, batches, _ in load(corpus, 8, wanted):
        for batch in batches:
            assert batch.tokens <= 300
            for pair in range(batch.pairs):
                image, caption = int(batch.images_P[pair]), int(batch.captions_P[pair])
                features, boxes = corpus.read(np.array([image]), corpus.region_counts[[image]])
                rows = slice(int(batch.cu_regions[pair]), int(batch.cu_regions[pair + 1]))
                kept = rows.stop - rows.start
                assert kept == min(len(boxes), 10)
                truncated += len(boxes) > 10
                assert (batch.features_RD[rows].numpy() == features[:kept]).all()
                shares = boxes[:kept] / np.array([200, 100, 200, 100], np.float32)
                area = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
                np.testing.assert_allclose(batch.boxes_R5[rows], np.column_stack([shares, area]), rtol=1e-6)
                own = caption < corpus.captions and corpus.caption_image[caption] == image
                assert int(batch.is_match_P[pair]) == own
                false += not own
            assert (original_ids(batch) == tokens.gather(batch.captions_P.numpy())[0]).all()
            assert (
                batch.max_text == batch.cu_text.diff().max()
                and batch.max_regions == batch.cu_regions.diff().max()
            )
            assert not batch.token_types_T.any() and len(batch.token_types_T) == len(batch.input_ids_T)
    assert truncated and false


def original_ids(batch):
    """The ids before masking, as far as the targets tell (all pairs count in these settings)."""
    ids = batch.input_ids_T.clone()
    ids[batch.masked_tokens_M] = batch.token_targets_M
    return ids.numpy()


def test_evidence_is_that_of_the_masked_regions(corpus):
    seen = 0
    for _, batches, _ in load(corpus, 4):
        for batch in batches:
            pair_N = torch.searchsorted(batch.cu_regions, batch.masked_regions_N, right=True) - 1
            rows_N = batch.masked_regions_N - batch.cu_regions[pair_N]
            probs, _ = corpus.read_evidence(batch.images_P[pair_N].numpy(), rows_N.numpy())
            assert batch.class_probs_NK.dtype == torch.float16 and batch.class_probs_NK.shape[1] == CLASSES
            assert (batch.class_probs_NK.numpy() == probs).all()
            assert (batch.class_labels_N == batch.class_probs_NK.argmax(1)).all()
            assert batch.is_match_P[pair_N].all(), (
                "masked regions of mismatched pairs do not count by default"
            )
            assert batch.zeroed_R[batch.masked_regions_N].all()
            seen += len(rows_N)
    assert seen > 100


def test_recipe_says_whether_mismatched_pairs_count(corpus):
    for text_loss, region_loss in ((True, False), (False, True)):
        wanted = settings(mismatch={"text_loss": text_loss, "region_loss": region_loss})
        on_false = np.zeros(2, int)
        for _, batches, _ in load(corpus, 4, wanted):
            for batch in batches:
                for which, rows, offsets in (
                    (0, batch.masked_tokens_M, batch.cu_text),
                    (1, batch.masked_regions_N, batch.cu_regions),
                ):
                    pairs = torch.searchsorted(offsets, rows, right=True) - 1
                    on_false[which] += (batch.is_match_P[pairs] == 0).sum()
        assert (on_false > 0).tolist() == [text_loss, region_loss]


def test_masks_beyond_a_capacity_are_dropped(corpus):
    wanted = settings(data={"masked_token_capacity": 5, "masked_region_capacity": 3})
    counts = [b.counts() for _, batches, _ in load(corpus, 5, wanted) for b in batches]
    assert max(c["tokens"] for c in counts) == 5 and max(c["regions"] for c in counts) == 3


def test_derived_mask_capacities_drop_nothing(corpus):
    for text in ("msm_paper", "msm_released", "mlm"):
        for regions in ("mrm_paper", "moc"):
            objectives = {"mlm" if text == "mlm" else "msm": 1.0, "moc": 1.0}
            wanted = settings(
                objectives=objectives, masks={"text": text, "regions": regions}, data={"token_budget": 600}
            )
            tokens = token_table(corpus, WordTokenizer(), 12)
            plan = Plan(corpus, tokens, wanted)
            plan.close()
            counts = [b.counts() for _, batches, _ in load(corpus, 5, wanted) for b in batches]
            assert max(c["tokens"] for c in counts) < plan.capacities.masked_tokens
            assert max(c["regions"] for c in counts) < plan.capacities.masked_regions


@pytest.mark.parametrize("evidence", ["labels", None])
def test_stores_without_distributions(tmp_path, evidence):
    write_store(tmp_path / "s.h5", 20, evidence=evidence)
    with Corpus([tmp_path / "s.h5"]) as corpus:
        with pytest.raises(ValueError, match=r"objectives: mrm cannot be served: the data holds"):
            load(corpus, 1, settings())
        has = settings(
            objectives={"msm": 1.0, "moc" if evidence else "mrfr": 1.0, "itm": 1.0}, masks={"regions": "moc"}
        )
        (_, batches, _), *_ = load(corpus, 1, has)
        assert sum(batch.counts()["regions"] for batch in batches) > 0
        for batch in batches:
            assert batch.class_probs_NK is None and (batch.class_labels_N is not None) == (
                evidence == "labels"
            )
            if evidence:
                pair_N = torch.searchsorted(batch.cu_regions, batch.masked_regions_N, right=True) - 1
                rows_N = batch.masked_regions_N - batch.cu_regions[pair_N]
                _, labels = corpus.read_evidence(batch.images_P[pair_N].numpy(), rows_N.numpy())
                assert batch.class_labels_N.tolist() == labels.tolist()


def test_evidence_is_not_read_where_no_objective_asks_for_it(corpus, monkeypatch):
    monkeypatch.setattr(corpus, "read_evidence", None, raising=False)
    (_, batches, _), *_ = load(corpus, 1, settings(objectives={"msm": 1.0, "mrfr": 1.0, "itm": 1.0}))
    assert batches[0].class_probs_NK is None and batches[0].class_labels_N is None
    assert len(batches[0].masked_regions_N) > 0


def test_boxes_of_an_image_of_unknown_size_are_shares_already():
    boxes = np.array([[0.1, 0.2, 0.5, 0.4], [10, 20, 50, 40]], np.float32)
    shares = box_shares(boxes, np.array([1, 1]), np.array([[0, 0], [100, 200]]))
    np.testing.assert_allclose(shares, [[0.1, 0.2, 0.5, 0.4, 0.08], [0.1, 0.1, 0.5, 0.2, 0.04]], rtol=1e-6)


def test_pairs_are_listed_longest_first(corpus):
    for _, batches, _ in load(corpus, 3):
        for batch in batches:
            text_P, regions_P = batch.cu_text.diff(), batch.cu_regions.diff()
            for order_P, keys_P in zip(batch.order_3P, (text_P, regions_P, text_P + regions_P), strict=True):
                assert sorted(order_P.tolist()) == list(range(batch.pairs))
                assert (keys_P[order_P.long()].diff() <= 0).all()
