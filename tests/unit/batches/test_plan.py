import gc
import hashlib
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from small_world import settings

from interbert.batches.capacities import Capacities, cut
from interbert.batches.endless import MaskKind, Position
from interbert.batches.masking import Vocabulary, mask_text
from interbert.batches.plan import Plan
from interbert.corpus.tokens import TokenTable
from interbert.mining.negatives import CandidateTable
from interbert.rng import Purpose


def make_corpus(images=100, captions=5, swapped=True, seed=0):
    """What a plan knows of a corpus; captions are not sorted by image, some images have none."""
    rng = np.random.default_rng(seed)
    caption_image = np.repeat(rng.permutation(images)[: images - 3], captions)
    rng.shuffle(caption_image)
    count = len(caption_image)
    swapped_of = rng.permutation(np.repeat(np.arange(0, count, 2), 2)) if swapped else np.zeros(0, np.int64)
    return SimpleNamespace(
        images=images,
        captions=count,
        swapped=len(swapped_of),
        swapped_of=swapped_of,
        caption_image=np.concatenate([caption_image, caption_image[swapped_of]]),
        caption_ranges=[range(count)],
        image_group=np.arange(images),
        region_counts=rng.integers(1, 15, images).astype(np.int32),
    )


def make_tokens(corpus, seed=0):
    """Captions of 1-10 words, each with one of its own, so that no two are the same."""
    lengths = np.random.default_rng(seed).integers(3, 13, corpus.captions + corpus.swapped)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.zeros(lengths.sum(), np.int32)
    ids[offsets[:-1] + 1] = np.arange(len(lengths)) + 5
    return TokenTable(ids, offsets)


@pytest.fixture
def make_plan():
    plans = []

    def make(corpus=None, candidates=None, validation=False, **sections):
        corpus = corpus or make_corpus()
        plans.append(Plan(corpus, make_tokens(corpus), settings(**sections), candidates, validation))
        return plans[-1]

    yield make
    for plan in plans:
        plan.close()


def test_every_caption_once_an_epoch_in_another_order(make_plan):
    corpus = make_corpus()
    plan = make_plan(corpus, mismatch={"share": 0.0})
    orders = [plan.epoch(e).rows.caption for e in range(3)]
    for order in orders:
        assert sorted(order) == list(range(corpus.captions))
    assert (orders[0] != orders[1]).any() and (orders[1] != orders[2]).any()
    rows = plan.epoch(0).rows
    assert (rows.image == corpus.caption_image[rows.caption]).all() and rows.is_match.all()


def test_data_sets_are_mixed_by_weight(make_plan):
    corpus = make_corpus()
    cut_at = 200
    corpus.caption_ranges = [range(cut_at), range(cut_at, corpus.captions)]
    plan = make_plan(corpus, mismatch={"share": 0.0}, data={"weights": [2.25, 0.5]})
    counts = [np.bincount(plan.epoch(e).rows.caption, minlength=corpus.captions) for e in range(2)]
    for count in counts:
        first, second = count[:cut_at], count[cut_at:]
        assert set(first) == {2, 3} and (first == 3).sum() == 50
        assert set(second) == {0, 1} and second.sum() == round(0.5 * len(second))
    assert (counts[0] != counts[1]).any(), "another part in another epoch"
    again = make_plan(corpus, mismatch={"share": 0.0}, data={"weights": [2.25, 0.5]})
    assert (again.epoch(1).rows.caption == plan.epoch(1).rows.caption).all()
    even = make_plan(corpus, mismatch={"share": 0.0}, data={"weights": [1.0, 1.0]})
    plain = make_plan(corpus, mismatch={"share": 0.0})
    assert (even.epoch(0).rows.caption == plain.epoch(0).rows.caption).all()


def test_a_plan_is_a_function_of_its_settings(make_plan):
    first, second = (make_plan(mismatch={"side": "either"}) for _ in range(2))
    other = make_plan(mismatch={"side": "either"}, train={"seed": 43})
    late = second.epoch(7)
    for name in ("image", "caption", "is_match", "mask_kind"):
        assert (getattr(first.epoch(7).rows, name) == getattr(late.rows, name)).all()
    assert (first.epoch(7).starts == late.starts).all()
    assert (other.epoch(7).rows.caption != late.rows.caption).any()
    assert (make_plan(validation=True).epoch(7).rows.caption != late.rows.caption).any()


def test_the_plan_of_earlier_versions_is_that_of_this_one(make_plan):
    """A run that goes on under another version sees what it would have seen."""
    plan = make_plan(make_corpus(images=900), mismatch={"side": "either", "swap_share": 0.2})
    digest = hashlib.sha256()
    for epoch in range(2):
        made = plan.make(epoch)
        for name in ("image", "caption", "is_match", "mask_kind"):
            digest.update(getattr(made.rows, name).astype("<i8").tobytes())
        digest.update(made.starts.astype("<i8").tobytes())
    assert digest.hexdigest() == "8d1951c18a2d551306d0eac61a24cbe8913c8069854a351e9b0b2fd2a58b2da0"


@pytest.mark.parametrize("side", ["caption", "image", "either"])
def test_a_plan_made_in_parts_is_the_same(make_plan, monkeypatch, side):
    corpus = make_corpus(images=200)
    rows = np.random.default_rng(1).integers(-1, corpus.captions, (corpus.captions, 4), dtype=np.int32)
    how = {"side": side, "swap_share": 0.3, "hard_share": 0.5}
    whole = make_plan(corpus, CandidateTable(rows, "", 0.5), mismatch=how).make(3)
    for place in (
        "batches.mismatch._ROWS_AT_A_TIME",
        "batches.capacities._ROWS_AT_A_TIME",
        "corpus.sameness._PAIRS",
    ):
        monkeypatch.setattr(f"interbert.{place}", 37)
    parts = make_plan(corpus, CandidateTable(rows, "", 0.5), mismatch=how).make(3)
    for name in ("image", "caption", "is_match", "mask_kind"):
        assert (getattr(whole.rows, name) == getattr(parts.rows, name)).all()
    assert (whole.starts == parts.starts).all() and (~whole.rows.is_match).sum() > 300


@pytest.mark.parametrize("side", ["caption", "image", "either"])
def test_mismatches_are_really_of_another_image(make_plan, side):
    corpus = make_corpus(images=12)
    plan = make_plan(corpus, mismatch={"side": side, "share": 0.5})
    replaced_images = false = 0
    for epoch in range(100):
        rows = plan.epoch(epoch).rows
        own = corpus.caption_image[rows.caption]
        assert (own[rows.is_match] == rows.image[rows.is_match]).all()
        assert (own[~rows.is_match] != rows.image[~rows.is_match]).all()
        # The row's true caption is lost where the caption was replaced, kept where the image was.
        truth = plan.draw(Purpose.ORDER, epoch).permutation(corpus.captions)
        replaced_images += (rows.image != corpus.caption_image[truth])[~rows.is_match].sum()
        false += (~rows.is_match).sum()
    assert false / (100 * corpus.captions) == pytest.approx(0.5, abs=0.03)
    assert replaced_images / false == pytest.approx({"caption": 0, "image": 1, "either": 0.5}[side], abs=0.03)


@pytest.mark.parametrize("side", ["caption", "image"])
def test_random_mismatches_are_uniform(make_plan, side):
    corpus = make_corpus(images=8, captions=3, swapped=False)
    plan = make_plan(corpus, mismatch={"side": side, "share": 0.9})
    seen = np.zeros((corpus.captions, max(corpus.captions, corpus.images)))
    for epoch in range(3000):
        rows = plan.epoch(epoch).rows
        truth = plan.draw(Purpose.ORDER, epoch).permutation(corpus.captions)
        drawn = rows.caption if side == "caption" else rows.image
        np.add.at(seen, (truth[~rows.is_match], drawn[~rows.is_match]), 1)
    image = corpus.caption_image[: corpus.captions]
    allowed = image[:, None] != (image if side == "caption" else np.arange(8))
    if side == "image":
        allowed &= np.isin(np.arange(8), image)  # an image without captions is in no true pair either
    seen = seen[:, : allowed.shape[1]]
    expected = allowed / allowed.sum(axis=1, keepdims=True) * seen.sum(axis=1, keepdims=True)
    assert (seen[~allowed] == 0).all()
    np.testing.assert_allclose(seen[allowed], expected[allowed], rtol=0.35)


def test_hard_and_swapped_shares(make_plan):
    corpus = make_corpus(images=200)
    image = corpus.caption_image
    # One or two candidates for even captions, none for odd ones.
    table = np.full((corpus.captions, 4), -1, np.int32)
    for caption in range(0, corpus.captions, 2):
        others = [c for c in (caption + 1, caption + 3, caption + 4) if c < corpus.captions]
        others = [c for c in others if image[c] != image[caption]][:2]
        table[caption, : len(others)] = others
    plan = make_plan(
        corpus, CandidateTable(table, "", 0.5), mismatch={"share": 0.8, "hard_share": 0.3, "swap_share": 0.2}
    )
    counts = {(even, kind): 0 for even in (True, False) for kind in ("all", "hard", "swapped")}
    for epoch in range(40):
        rows = plan.epoch(epoch).rows
        false = ~rows.is_match
        truth, drawn = (
            plan.draw(Purpose.ORDER, epoch).permutation(corpus.captions)[false],
            rows.caption[false],
        )
        swapped = drawn >= corpus.captions
        assert (corpus.swapped_of[drawn[swapped] - corpus.captions] == truth[swapped]).all()
        assert (image[drawn[~swapped]] != rows.image[false][~swapped]).all()
        hard = (table[truth] == drawn[:, None]).any(axis=1)
        for even in (True, False):
            here = (truth % 2 == 0) == even
            counts[even, "all"] += here.sum()
            counts[even, "hard"] += (here & hard).sum()
            counts[even, "swapped"] += (here & swapped).sum()
    share = {key: count / counts[key[0], "all"] for key, count in counts.items()}
    # A candidate has to be another false row's own: of one or two, at least one is so at least as often as 0.8.
    assert 0.3 * 0.8 < share[True, "hard"] < 0.3
    assert share[True, "swapped"] == pytest.approx(0.2, abs=0.02)
    assert share[False, "hard"] == share[False, "swapped"] == 0


def test_micro_batches_close_at_any_capacity(make_plan):
    for field, limit in [
        ("text_capacity", 60),
        ("region_capacity", 50),
        ("pair_capacity", 6),
        ("token_budget", 90),
    ]:
        corpus = make_corpus()
        plan = make_plan(corpus, data={field: limit}, mismatch={"side": "either"})
        tokens = make_tokens(corpus)
        for epoch in range(3):
            made = plan.epoch(epoch)
            text = tokens.lengths[made.rows.caption]
            regions = np.minimum(corpus.region_counts[made.rows.image], 10)
            assert (
                made.starts[0] == 0
                and made.starts[-1] == corpus.captions
                and (np.diff(made.starts) > 0).all()
            )
            cost = {
                "text_capacity": text,
                "region_capacity": regions,
                "pair_capacity": np.ones_like(text),
                "token_budget": text + regions + 1,
            }
            limits = {
                "text_capacity": plan.capacities.text,
                "region_capacity": plan.capacities.regions,
                "pair_capacity": plan.capacities.pairs,
                "token_budget": plan.capacities.tokens,
            }
            assert limits[field] == limit
            for name, values in cost.items():
                assert np.add.reduceat(values, made.starts[:-1]).max() <= limits[name]
            # Greedy: each but the last would have passed a capacity with one row more.
            for start, end in zip(made.starts[:-2], made.starts[1:-1], strict=True):
                assert any(values[start : end + 1].sum() > limits[name] for name, values in cost.items())


def test_derived_capacities_leave_the_budget_in_charge(make_plan):
    corpus = make_corpus(images=2000)
    plan = make_plan(corpus, data={"token_budget": 1000})
    made = plan.epoch(0)
    tokens = make_tokens(corpus)
    cost = tokens.lengths[made.rows.caption] + np.minimum(corpus.region_counts[made.rows.image], 10) + 1
    filled = np.add.reduceat(cost, made.starts[:-1])[:-1]
    largest = 12 + 10 + 1
    assert filled.min() > 1000 - largest
    for number in ("1,000 tokens", f"{plan.capacities.text:,} text", f"{plan.capacities.pairs:,} pairs"):
        assert number in plan.capacities.describe()


@pytest.mark.parametrize("recipe", ["msm_paper", "msm_released", "mlm"])
def test_derived_capacities_hold_what_is_drawn(make_plan, recipe):
    """No capacity but the budget closes a micro-batch, and no mask is left out, in many more epochs than are tried
    here: five standard deviations of room; and not several times as much as is ever used."""
    corpus = make_corpus(images=2000)
    objective = recipe.partition("_")[0]
    plan = make_plan(
        corpus, data={"token_budget": 1000}, masks={"text": recipe}, objectives={objective: 1, "itm": 1}
    )
    tokens, seen = make_tokens(corpus), []
    vocabulary = Vocabulary(4, np.arange(5, 50, dtype=np.int32))
    for epoch in range(3):
        made = plan.make(epoch)
        for index in range(made.micro_batches - 1):
            rows = made.micro_batch(index)
            ids_T, cu_text = tokens.gather(rows.caption)
            everything = np.ones(len(rows), dtype=bool)
            rng = np.random.default_rng(index)
            masked = mask_text(recipe, rng, vocabulary, ids_T, cu_text, everything, everything, 10**9).rows_M
            regions = int(np.minimum(corpus.region_counts[rows.image], 10).sum())
            seen.append((len(ids_T), regions, len(rows), len(masked)))
    names = ("text", "regions", "pairs", "masked_tokens")
    for name, mean, deviation in zip(names, np.mean(seen, axis=0), np.std(seen, axis=0), strict=True):
        assert mean + 5 * deviation < getattr(plan.capacities, name) < 3.5 * mean, name


def test_epochs_gone_by_are_forgotten(make_plan):
    plan = make_plan()
    first = weakref.ref(plan.epoch(0))
    for epoch in range(1, 7):
        plan.epoch(epoch)
        assert len(plan._epochs) <= 2
    gc.collect()
    assert first() is None


def test_an_epoch_is_planned_when_the_one_before_is_half_gone(make_plan):
    """And that one is forgotten when it is gone: there are never more than two."""
    plan = make_plan()
    planned = []
    for index in range(plan.epoch(0).micro_batches):
        plan.step(Position(0, index), 1)
        planned.append(sorted(plan._epochs))
    half = -(-len(planned) // 2) - 1
    assert planned == [[0]] * half + [[0, 1]] * (len(planned) - half)
    plan.step(Position(1, 0), 1)
    assert sorted(plan._epochs) == [1]
    plan.step(Position(1, plan.epoch(1).micro_batches - 1), 2)
    assert sorted(plan._epochs) == [1, 2]


@pytest.mark.parametrize("groups", [False, True])
def test_rows_are_cut_alike_in_parts(monkeypatch, groups):
    rng = np.random.default_rng(3)
    text, regions = rng.integers(2, 12, 3000), rng.integers(1, 9, 3000)
    sizes = Capacities(tokens=120, text=60, regions=50, pairs=14, masked_tokens=9, masked_regions=9)
    starts = np.concatenate([[0], np.cumsum(rng.integers(1, 4, 3000))])
    starts = np.append(starts[starts < 3000], 3000) if groups else None
    whole = cut(sizes, text, regions, starts)
    assert len(whole) > 200
    for size in (15, 16, 100, 999):
        monkeypatch.setattr("interbert.batches.capacities._ROWS_AT_A_TIME", size)
        assert (cut(sizes, text, regions, starts) == whole).all()


def test_a_pair_that_fits_no_micro_batch_is_refused(make_plan):
    with pytest.raises(
        ValueError, match=r"data.token_budget is 20, but a pair may need 23: 12 text tokens, 10 "
    ):
        make_plan(data={"token_budget": 20})
    with pytest.raises(ValueError, match=r"data.text_capacity is 11, .* at least 12"):
        make_plan(data={"text_capacity": 11})
    with pytest.raises(ValueError, match=r"data.region_capacity is 9, .*data.max_regions"):
        make_plan(data={"region_capacity": 9})
    with pytest.raises(ValueError, match="a pair may need 31"):
        cut(Capacities(30, 30, 30, 30, 30, 30), np.array([5, 10]), np.array([3, 20]))


def test_cut_of_nothing_is_no_micro_batch():
    none = np.zeros(0, np.int64)
    assert cut(Capacities(9, 9, 9, 9, 9, 9), none, none).tolist() == [0]


def test_steps_run_on_into_the_next_epoch(make_plan):
    plan = make_plan()
    per_epoch = [plan.epoch(e).micro_batches for e in range(4)]
    endless = [(e, i) for e, count in enumerate(per_epoch) for i in range(count)]
    position, seen = Position(), []
    while len(seen) < sum(per_epoch[:3]):
        step = plan.step(position, 7)
        assert len(step) == 7
        seen += step
        position = plan.after(position, 7)
        assert endless[len(seen)] == (position.epoch, position.index)
    assert seen == endless[: len(seen)]
    # More than an epoch in one step
    assert plan.step(Position(0, 3), per_epoch[0] + 5) == endless[3 : per_epoch[0] + 8]
    assert plan.after(Position(0, 0), per_epoch[0]) == Position(1, 0)


def test_alternating_sides_mask_each_side_every_second_epoch(make_plan):
    corpus = make_corpus()
    plan = make_plan(corpus, masks={"sides": "alternate"}, mismatch={"share": 0.0})
    kinds = np.zeros((2, corpus.captions), int)
    for epoch in (0, 1):
        rows = plan.epoch(epoch).rows
        kinds[epoch, rows.caption] = rows.mask_kind
    assert (kinds.sum(axis=0) == MaskKind.BOTH).all() and set(kinds[0]) == {MaskKind.TEXT, MaskKind.REGIONS}
    assert (make_plan(corpus).epoch(0).rows.mask_kind == MaskKind.BOTH).all()


def test_objectives_decide_what_is_masked_and_made_false(make_plan):
    rows = make_plan(objectives={"mrm": 1.0}, masks={"sides": "alternate"}).epoch(0).rows
    assert (rows.mask_kind == MaskKind.REGIONS).all() and rows.is_match.all()
    rows = make_plan(objectives={"msm": 1.0, "itm": 1.0}).epoch(0).rows
    assert (rows.mask_kind == MaskKind.TEXT).all() and not rows.is_match.all()
    assert (make_plan(objectives={"itm": 1.0}).epoch(0).rows.mask_kind == MaskKind.NONE).all()


def test_mismatches_that_cannot_be_drawn_are_refused(make_plan):
    with pytest.raises(ValueError, match=r"1 of them with captions: set mismatch.share=0"):
        make_plan(make_corpus(images=4))
    with pytest.raises(ValueError, match=r"no table of candidate captions .* mismatch.hard_share=0"):
        make_plan(mismatch={"hard_share": 0.2})
    with pytest.raises(ValueError, match=r"holds no swapped captions: set mismatch.swap_share=0"):
        make_plan(make_corpus(swapped=False), mismatch={"swap_share": 0.1})
    with pytest.raises(ValueError, match=r"swap_share 0.6 \+ mismatch.hard_share 0.5 > 1"):
        make_plan(mismatch={"swap_share": 0.6, "hard_share": 0.5})
    with pytest.raises(ValueError, match=r"has 3 rows, the data set 485 captions"):
        make_plan(
            candidates=CandidateTable(np.zeros((3, 1), np.int32), "", 0.5), mismatch={"hard_share": 0.2}
        )
    empty = make_corpus(images=3)
    with pytest.raises(ValueError, match="no captions"):
        Plan(empty, TokenTable(np.zeros(0, np.int32), np.zeros(1, np.int64)), settings())
