"""Sets for retrieval: a true pair and false ones, none of which is true."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_world import WordTokenizer, open_world, settings
from test_plan import make_corpus, make_tokens

from interbert.batches.loader import Loader
from interbert.batches.prepare_examples import ExamplePreparer
from interbert.batches.set_plan import SetPlan
from interbert.config import SetSettings
from interbert.corpus.tokens import TokenTable, token_table
from interbert.mining.negatives import CandidateTable
from interbert.mining.neighbours import NeighbourError, NeighbourTable, neighbours_for, write_neighbours

SETS = {"random_captions": 2, "random_images": 1, "near_images": 2}


def set_settings(sets=None, **sections):
    return settings(task={"kind": "match", "sets": {**SETS, **(sets or {})}}, **sections)


def near_of(corpus, top=6, seed=1):
    """Look-alikes of each image, itself first, some rows short, one without any."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, corpus.images, (corpus.images, top)).astype(np.int32)
    rows[:, 0] = np.arange(corpus.images)
    rows[::4, 3:] = -1
    rows[5, 1:] = -1
    return NeighbourTable(rows, "")


@pytest.fixture
def make_plan():
    plans = []

    def make(corpus, tokens=None, near=None, sets=None, alike=None, validation=False, **sections):
        tokens = tokens or make_tokens(corpus)
        near = near or near_of(corpus)
        plans.append(SetPlan(corpus, tokens, set_settings(sets, **sections), near, alike, validation))
        return plans[-1]

    yield make
    for plan in plans:
        plan.close()


def sets_of(plan, epoch=0):
    """image, caption, is_match as [S, K]."""
    rows = plan.make(epoch).rows
    assert (np.diff(rows.group) >= 0).all() and (np.bincount(rows.group) == 6).all()
    return (array.reshape(-1, 6) for array in (rows.image, rows.caption, rows.is_match))


def test_a_set_for_each_caption(make_plan):
    corpus = make_corpus()
    near = near_of(corpus)
    image, caption, is_match = sets_of(make_plan(corpus, near=near))
    own = corpus.caption_image
    assert sorted(caption[:, 0]) == list(range(corpus.captions)) and (image[:, 0] == own[caption[:, 0]]).all()
    assert (is_match == [1, 0, 0, 0, 0, 0]).all()
    assert (image[:, [1, 2, 4, 5]] == image[:, :1]).all() and (caption[:, 3] == caption[:, 0]).all()
    assert (caption < corpus.captions).all() and (own[caption[:, 1:]] != image[:, 1:]).all()
    without = 0
    for images, captions in zip(image, own[caption], strict=True):
        alike = set(near.rows[images[0]][near.rows[images[0]] >= 0].tolist()) - {int(images[0])}
        alike &= set(own.tolist())
        without += not alike
        assert not alike or set(captions[4:].tolist()) <= alike
    assert without, "one image has no look-alike, and is served all the same"


def test_captions_that_read_alike_are_drawn_from_the_candidates(make_plan):
    corpus = make_corpus()
    rows = np.random.default_rng(2).integers(0, corpus.captions, (corpus.captions, 5)).astype(np.int32)
    rows[3:9, 2:] = -1
    rows[7] = -1
    sets = {"random_captions": 1, "random_images": 0, "near_images": 0, "near_captions": 4}
    found = make_plan(corpus, sets=sets, alike=CandidateTable(rows, "", 0.5)).make(0).rows
    image, caption = found.image.reshape(-1, 6), found.caption.reshape(-1, 6)
    own, without, drawn = corpus.caption_image, 0, set()
    for images, captions in zip(image, caption, strict=True):
        alike = {other for other in rows[captions[0]].tolist() if other >= 0 and own[other] != images[0]}
        without += not alike
        assert not alike or set(captions[2:].tolist()) <= alike
        drawn |= {(int(captions[0]), other) for other in captions[2:].tolist()}
    assert 1 <= without < 5, "one has no candidate, and is served all the same"
    assert (own[caption[:, 1:]] != image[:, 1:]).all() and len(drawn) > 2 * corpus.captions


def test_sets_of_distinctive_captions_alone(make_plan):
    corpus = make_corpus()
    corpus.caption_kind = (np.arange(corpus.captions + corpus.swapped) % 4 == 0).astype(np.uint8)
    marked = np.flatnonzero(corpus.caption_kind[: corpus.captions])
    rows = np.random.default_rng(2).integers(0, corpus.captions, (corpus.captions, 9)).astype(np.int32)
    sets = {"near_captions": 1, "near_images": 1, "captions": "distinctive"}
    plan = make_plan(corpus, sets=sets, alike=CandidateTable(rows, "", 0.5))
    image, caption, _ = sets_of(plan)
    assert sorted(caption[:, 0]) == marked.tolist() and set(caption.ravel().tolist()) == set(marked.tolist())
    assert set(image[:, 3].tolist()) <= set(corpus.caption_image[marked].tolist())
    corpus.caption_kind[:] = 0
    with pytest.raises(ValueError, match=r"the data marks no caption as such.*task.sets.captions=all"):
        make_plan(corpus, sets=sets, alike=CandidateTable(rows, "", 0.5))


def test_draws_are_spread_over_all(make_plan):
    corpus = make_corpus()
    plan = make_plan(corpus)
    seen = {1: set(), 3: set()}
    for epoch in range(4):
        image, caption, _ = sets_of(plan, epoch)
        seen[1] |= set(caption[:, 1].tolist())
        seen[3] |= set(image[:, 3].tolist())
    assert len(seen[1]) > 0.95 * corpus.captions and len(seen[3]) == len(set(corpus.caption_image.tolist()))


def test_sets_are_a_function_of_seed_and_epoch(make_plan):
    corpus = make_corpus()
    plans = [
        make_plan(corpus),
        make_plan(corpus),
        make_plan(corpus, train={"seed": 7}),
        make_plan(corpus, validation=True),
    ]
    first, again, seeded, judged = (np.concatenate([*map(np.ravel, sets_of(plan))]) for plan in plans)
    assert (first == again).all() and (first != seeded).mean() > 0.3 and (first != judged).mean() > 0.3
    other = np.concatenate([*map(np.ravel, sets_of(plans[0], 1))])
    assert (first != other).mean() > 0.3
    assert (plans[0].epoch(1).rows.caption == plans[1].make(1).rows.caption).all()


def test_one_kind_of_draw_does_not_move_another(make_plan):
    corpus = make_corpus()
    image, caption, _ = sets_of(make_plan(corpus))
    rows = make_plan(corpus, sets={"near_images": 0, "random_captions": 2}).make(0).rows
    assert (rows.caption.reshape(-1, 4) == caption[:, :4]).all() and (
        rows.image.reshape(-1, 4) == image[:, :4]
    ).all()


def test_what_reads_alike_or_is_of_the_same_id_is_never_false(make_plan):
    """Most captions say one of eight things; images 0 and 1, 2 and 3, … are the same in two data sets."""
    corpus = make_corpus(images=30, captions=4, swapped=False)
    corpus.image_group = np.arange(30) // 2
    rng = np.random.default_rng(3)
    said = np.where(
        rng.random(corpus.captions) < 0.6, rng.integers(0, 8, corpus.captions), 8 + np.arange(corpus.captions)
    )
    ids = np.stack([np.zeros_like(said), said + 5, np.ones_like(said)], axis=1)
    tokens = TokenTable(ids.ravel().astype(np.int32), 3 * np.arange(corpus.captions + 1))
    true = {(corpus.image_group[i], t) for i, t in zip(corpus.caption_image, said, strict=True)}
    image, caption, is_match = sets_of(make_plan(corpus, tokens))
    for i, c, match in zip(image.ravel(), caption.ravel(), is_match.ravel(), strict=True):
        assert ((corpus.image_group[i], said[c]) in true) == bool(match)


def test_where_nothing_is_false_it_is_said(make_plan):
    corpus = make_corpus(images=8, captions=2, swapped=False)
    corpus.image_id = lambda image: f"image {image}"
    corpus.caption_text = lambda caption: "all the same"
    same = TokenTable(np.tile(np.int32([0, 5, 1]), corpus.captions), 3 * np.arange(corpus.captions + 1))
    with pytest.raises(ValueError, match=r"image 'image .': every caption of the data set is true of it"):
        make_plan(corpus, same).make(0)
    with pytest.raises(ValueError, match="caption 'all the same': true of every image that has captions"):
        make_plan(corpus, same, sets={"random_captions": 0, "near_images": 0}).make(0)


def test_sets_that_cannot_fit_or_have_no_table(make_plan):
    corpus = make_corpus()
    with pytest.raises(ValueError, match=r"a set \(task.sets\) may need \d+ tokens.*data.token_budget"):
        make_plan(corpus, data={"token_budget": 100})
    with pytest.raises(ValueError, match=r"task.sets.near_images: no table of look-alikes was given"):
        SetPlan(corpus, make_tokens(corpus), set_settings(), None)
    with pytest.raises(ValueError, match="hardest is 3, of 3 false pairs: draw more than are kept"):
        SetSettings(hardest=3)
    with pytest.raises(NeighbourError, match=r"near_images is 1, but near_table is empty: mine one"):
        neighbours_for(corpus, SetSettings())
    assert neighbours_for(corpus, SetSettings(near_images=0)) is None


def test_the_table_of_the_miner_is_read(tmp_path):
    corpus = SimpleNamespace(fingerprint="f", images=9)
    write_neighbours(tmp_path / "near.h5", NeighbourTable(np.zeros((9, 5), np.int32), "f"))
    sets = SetSettings(near_table=str(tmp_path / "near.h5"), near_top=3)
    assert neighbours_for(corpus, sets).rows.shape == (9, 3)


def test_sets_are_loaded_alike_on_any_number_of_ranks(tmp_path):
    with open_world(tmp_path, images=40) as corpus:
        tokens, wanted = token_table(corpus, WordTokenizer(), 12), set_settings()
        found = {}
        for ranks in (1, 2):
            for rank in range(ranks):
                plan = SetPlan(corpus, tokens, wanted, near_of(corpus))
                preparer = ExamplePreparer(corpus, tokens, plan, wanted, None)
                with Loader(preparer, plan, wanted, rank, ranks) as loader:
                    step = next(loader)
                    for number, batch in zip(step.numbers, step.batches, strict=True):
                        found[ranks, number] = batch
    for number in range(4):
        ones, twos = found[1, number].tensors(), found[2, number].tensors()
        assert len(ones) == len(twos) and all(map(torch.equal, ones, twos))
        batch = found[1, number]
        assert (
            batch.tokens <= 300
            and batch.counts()["groups"] == len(batch.groups.examples_G) == batch.pairs // 6
        )
        assert batch.is_match_P.tolist() == [1, 0, 0, 0, 0, 0] * (batch.pairs // 6)
        assert not batch.token_types_T.any() and batch.groups.labels_G is None
