"""Retrieval: scores of whole batches against pair by pair, ranks against one, and what it refuses."""

import threading

import numpy as np
import pytest
import torch

from interbert.tasks.pairs import MicroBatch, PairScorer, cut_pairs, image_blocks, share_of_rank
from interbert.tasks.ranking import retrieval_metrics
from interbert.tasks.retrieval import DISTINCTIVE, captions_of, evaluate_retrieval


def scorer(model, corpus, tokens, images, captions, budget=200, max_regions=None) -> PairScorer:
    return PairScorer(
        model, corpus, tokens, images, captions, token_budget=budget, max_regions=max_regions, device="cpu"
    )


def alone(value):
    return [value]


def score_one_by_one(model, corpus, tokens, images, captions, max_regions) -> np.ndarray:
    """Through the padded interface, a pair at a time."""
    scores = np.zeros((len(images), len(captions)), np.float32)
    for i, image in enumerate(images):
        keep = np.array([min(max_regions, corpus.region_counts[image])])
        features, boxes = corpus.read(np.array([image]), keep)
        width, height = corpus.sizes[image]
        shares = torch.tensor(boxes) / torch.tensor([width, height, width, height])
        area = (shares[:, 2] - shares[:, 0]) * (shares[:, 3] - shares[:, 1])
        for c, caption in enumerate(captions):
            with torch.no_grad():
                output = model(
                    input_ids=torch.tensor(tokens.caption(caption), dtype=torch.int64)[None],
                    region_features=torch.from_numpy(features)[None],
                    region_boxes=torch.cat([shares, area[:, None]], dim=1).float()[None],
                    add_global=True,
                )
            scores[i, c] = torch.logit(output.match_probability.double())
    return scores


def test_batches_score_as_single_pairs_do(model, corpus, tokens):
    images, captions = np.array([7, 2, 9, 4]), np.array([6, 27, 12, 21, 8])
    found = scorer(model, corpus, tokens, images, captions, max_regions=9).scores(0, 1, alone, False, "")
    wanted = score_one_by_one(model, corpus, tokens, images, captions, max_regions=9)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


def test_any_number_of_ranks_gives_the_same_scores(model, corpus, tokens):
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    one = scorer(model, corpus, tokens, images, captions).scores(0, 1, alone, False, "")
    for world_size in (2, 3):
        for scores in on_ranks(world_size, model, corpus, tokens, images, captions):
            np.testing.assert_array_equal(scores, one)


def on_ranks(world_size, model, corpus, tokens, images, captions) -> list[np.ndarray]:
    meeting, values, results = threading.Barrier(world_size), [None] * world_size, [None] * world_size

    def run(rank: int) -> None:
        def gather(value):
            values[rank] = value
            meeting.wait()
            return list(values)

        one = scorer(model, corpus, tokens, images, captions)
        results[rank] = one.scores(rank, world_size, gather, False, "")

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(value) < sum(map(len, values)) for value in values), "one rank did all the work"
    return results


def test_evaluation_is_the_metrics_of_the_scores(model, corpus, tokens):
    images = np.arange(corpus.images)
    captions = captions_of(corpus, images, DISTINCTIVE, first_only=True)
    vague = captions_of(corpus, images, 0, first_only=True)
    found = evaluate_retrieval(model, corpus, tokens, captions=captions, vague=vague, token_budget=300)
    for part, chosen in ((found, captions), (found["vague"], vague)):
        scores = scorer(model, corpus, tokens, images, chosen).scores(0, 1, alone, False, "")
        wanted = retrieval_metrics(scores, corpus.caption_image[chosen])
        assert {name: part[name] for name in wanted} == wanted
    assert found["images"] == 12
    assert found["captions"] == len(captions)


def test_a_model_that_knows_the_answer_gets_everything_right(corpus, tokens):
    class Knowing(torch.nn.Linear):
        def forward_packed(self, batch, heads):
            true = torch.from_numpy(corpus.caption_image)[batch.captions_P] == batch.images_P
            logits = torch.stack([true.float(), 1 - true.float()], dim=1)
            return type("Output", (), {"match_logits_P2": logits})

    model = Knowing(1, 1).train()
    found = evaluate_retrieval(model, corpus, tokens)
    for way in ("text_to_image", "image_to_text"):
        assert found[way] == {"r1": 1.0, "r5": 1.0, "r10": 1.0, "median_rank": 1.0, "mean_rank": 1.0}
    assert model.training, "the model is left in the mode it came in"


def test_a_16_bit_model_is_scored_without_rounding_ties(model, corpus, tokens):
    images, captions = np.arange(corpus.images), np.arange(corpus.captions)
    exact = scorer(model, corpus, tokens, images, captions).scores(0, 1, alone, False, "")
    rough = scorer(model.bfloat16(), corpus, tokens, images, captions).scores(0, 1, alone, False, "")
    assert np.corrcoef(exact.ravel(), rough.ravel())[0, 1] > 0.99
    assert len(np.unique(rough)) > 0.9 * rough.size


def test_filled_up_batches_score_the_same(model, corpus, tokens, monkeypatch):
    images, captions = np.arange(corpus.images), np.arange(9)
    plain = scorer(model, corpus, tokens, images, captions).scores(0, 1, alone, False, "")
    shapes = set()
    forward = model.forward_packed

    def watch(batch, heads):
        output = forward(batch, heads)
        shapes.add((len(output.text_hidden_TH) % 32, len(output.image_hidden_VH) % 32))
        return output

    monkeypatch.setattr(model, "forward_packed", watch)
    monkeypatch.setattr(PairScorer, "_row_step", lambda self: 32)
    filled = scorer(model, corpus, tokens, images, captions).scores(0, 1, alone, False, "")
    assert shapes == {(0, 0)}
    np.testing.assert_allclose(filled, plain, rtol=1e-4, atol=1e-4)


def test_captions_are_chosen_by_kind_and_image(corpus):
    images = np.array([3, 5])
    captions = captions_of(corpus, images)
    assert sorted(set(corpus.caption_image[captions])) == [3, 5]
    assert len(captions) == (np.isin(corpus.caption_image[: corpus.captions], images)).sum()
    first = captions_of(corpus, np.arange(corpus.images), kind=0, first_only=True)
    assert len(set(corpus.caption_image[first])) == len(first)
    assert (corpus.caption_kind[first] == 0).all()


@pytest.mark.parametrize(
    ("images", "regions", "budget"), [(1, 5, 40), (7, 0, 64), (13, 36, 500), (3, 4, 10**6)]
)
def test_micro_batches_cover_every_pair_and_are_as_full_as_can_be(images, regions, budget):
    lengths = np.sort(np.random.default_rng(1).integers(3, 25, 40))
    cuts = cut_pairs(lengths, regions, images, budget)
    cost = np.repeat(lengths + regions + 1, images)
    starts, stops = [cut[0] for cut in cuts], [cut[1] for cut in cuts]
    assert (starts[0], stops[-1], starts[1:]) == (0, len(cost), stops[:-1])
    for start, stop, tokens in cuts:
        assert tokens == cost[start:stop].sum() <= budget
        assert stop == len(cost) or tokens + cost[stop] > budget


def test_blocks_hold_images_of_one_size_and_fit_into_memory():
    counts = np.array([4, 2, 4, 4, 2, 4, 0])
    blocks = image_blocks(counts, bytes_of_region=10, block_bytes=90)
    assert sorted(np.concatenate([block.rows_B for block in blocks])) == list(range(7))
    for block in blocks:
        assert (counts[block.rows_B] == block.regions).all()
        assert block.regions * 10 * len(block.rows_B) <= 90
    assert len(blocks) == 4


def test_ranks_share_the_work_evenly():
    work = [MicroBatch(0, i, i + 1, 100) for i in range(50)]
    for world_size in (1, 3, 7, 64):
        shares = [share_of_rank(work, rank, world_size) for rank in range(world_size)]
        assert [m for share in shares for m in share] == work
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_what_cannot_be_ranked_is_refused(model, corpus, tokens):
    with pytest.raises(ValueError, match="not among the candidates"):
        evaluate_retrieval(model, corpus, tokens, images=[0, 1], captions=[0, corpus.captions - 1])
    with pytest.raises(ValueError, match="falsified"):
        evaluate_retrieval(model, corpus, tokens, captions=[corpus.captions])
    with pytest.raises(ValueError, match="listed twice"):
        evaluate_retrieval(model, corpus, tokens, images=[1, 1])
    with pytest.raises(ValueError, match="no caption"):
        evaluate_retrieval(model, corpus, tokens, captions=[])
    with pytest.raises(ValueError, match=r"token budget is 12, but a pair may need \d+"):
        evaluate_retrieval(model, corpus, tokens, token_budget=12)


def test_scores_that_are_no_numbers_are_refused(model, corpus, tokens):
    with torch.no_grad():
        model.heads["match"].classifier.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="no number"):
        evaluate_retrieval(model, corpus, tokens)
