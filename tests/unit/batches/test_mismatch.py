"""What a mismatch tells, and what it must not be."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_world import WordTokenizer, settings

from interbert.batches.exchange import deal
from interbert.batches.mismatch import Mismatcher
from interbert.batches.plan import Plan
from interbert.corpus import sameness
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import TokenTable, tokenise
from interbert.mining.negatives import CandidateTable
from interbert.store.store import StoreWriter

SHARE = 0.5
EPOCHS = 200


def uneven_corpus(swapped: bool) -> SimpleNamespace:
    """Two data sets: images of 0 to 8 captions; only the first has falsified versions, of every second caption."""
    rng = np.random.default_rng(0)
    image = np.sort(np.repeat(np.arange(160), rng.integers(0, 9, 160)))
    count, border = len(image), int(np.searchsorted(image, 80))
    swapped_of = np.arange(0, border, 2) if swapped else np.zeros(0, np.int64)
    return SimpleNamespace(
        images=160,
        captions=count,
        swapped=len(swapped_of),
        swapped_of=swapped_of,
        caption_image=np.concatenate([image, image[swapped_of]]),
        caption_ranges=[range(border), range(border, count)],
        image_group=np.arange(160, dtype=np.int32),
        region_counts=np.full(160, 4, np.int32),
    )


def tokens_of(texts: np.ndarray) -> TokenTable:
    """A table in which caption i says word texts[i]."""
    ids = np.zeros((len(texts), 3), np.int32)
    ids[:, 1] = texts
    return TokenTable(ids.ravel(), 3 * np.arange(len(texts) + 1))


def hubs(corpus: SimpleNamespace) -> CandidateTable:
    """Candidates as mined ones are: a few captions are near to very many."""
    rng = np.random.default_rng(1)
    near = 1 / np.arange(1, corpus.captions + 1)
    rows = [
        rng.choice(corpus.captions, 12, replace=False, p=near / near.sum()) for _ in range(corpus.captions)
    ]
    return CandidateTable(np.array(rows, np.int32), "", 0.5)


def counts_of(corpus, **mismatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each caption, each image and each pair of data sets (of image, of caption) came: [false, true]."""
    count = corpus.captions + corpus.swapped
    wanted = settings(mismatch={"share": SHARE, **mismatch}, data={"weights": [1.0, 0.1]})
    candidates = hubs(corpus) if mismatch.get("hard_share") else None
    plan = Plan(corpus, tokens_of(np.arange(count)), wanted, candidates)
    set_of_image = (np.arange(corpus.images) >= 80).astype(int)
    captions, images, sets = np.zeros((count, 2)), np.zeros((corpus.images, 2)), np.zeros((2, 2, 2))
    for epoch in range(EPOCHS):
        rows = plan.make(epoch).rows
        match = rows.is_match.astype(int)
        np.add.at(captions, (rows.caption, match), 1)
        np.add.at(images, (rows.image, match), 1)
        of_caption = set_of_image[corpus.caption_image[rows.caption]]
        np.add.at(sets, (set_of_image[rows.image], of_caption, match), 1)
    plan.close()
    return captions, images, sets


def surprise(counts: np.ndarray, share: float | np.ndarray = SHARE) -> float:
    """How many standard deviations the counts lie from `share` of them being false, all together.

    If each is false with that probability, the sum of the squared deviations is chi-squared with as many degrees of
    freedom as there are counts: mean n, variance 2n. Beyond 4 is a chance of some 1 : 10,000 in each use.
    """
    seen = counts.sum(axis=-1)
    deviations = (counts[..., 0] - share * seen) ** 2 / np.maximum(seen * share * (1 - share), 1e-9)
    deviations = deviations[seen > 0]
    return float((deviations.sum() - len(deviations)) / np.sqrt(2 * len(deviations)))


@pytest.mark.parametrize("side", ["caption", "image", "either"])
@pytest.mark.parametrize("hard", [0.0, 0.4])
def test_neither_caption_nor_image_nor_data_set_tells_whether_a_pair_is_true(side, hard):
    corpus = uneven_corpus(swapped=False)
    captions, images, sets = counts_of(corpus, side=side, hard_share=hard)
    silent = np.bincount(corpus.caption_image, minlength=corpus.images) == 0
    assert silent.any() and images[silent].sum() == 0, "images without captions are in no pair"
    for what, counts in (("caption", captions), ("image", images)):
        assert (counts.sum(axis=1) > 0).sum() > 50
        assert abs(surprise(counts)) < 4, what
    for counts in (sets.sum(axis=1), sets.sum(axis=0)):
        assert counts.sum(axis=1).min() > 3000 and abs(surprise(counts)) < 4
    if hard == 0:  # but for the rare rows that a handful of rows of the small set could not help
        assert sets[0, 1].sum() + sets[1, 0].sum() < 1e-3 * sets.sum(), "data sets keep to themselves"
    # And each caption comes exactly as often as by its weight.
    first = corpus.caption_ranges[0]
    assert (captions[first.start : first.stop].sum(axis=1) == EPOCHS).all()
    assert captions[first.stop :].sum() == EPOCHS * round(0.1 * (corpus.captions - first.stop))


def test_the_test_above_would_notice_captions_drawn_from_all():
    """Half of the pairs false, and the false captions drawn from all of both sets, as this was once."""
    rng = np.random.default_rng(0)
    true = np.concatenate([np.full(300, 200), np.full(300, 20)])
    counts = np.stack([rng.multinomial(true.sum() // 2, np.full(600, 1 / 600)), true // 2], axis=1)
    assert surprise(counts) > 100
    false = rng.binomial(true, 0.5)
    assert abs(surprise(np.stack([false, true - false], axis=1))) < 4


def test_falsified_versions_tell_only_of_themselves():
    corpus = uneven_corpus(swapped=True)
    captions, images, sets = counts_of(corpus, side="caption", swap_share=0.4)
    false_versions = captions[corpus.captions :]
    assert false_versions[:, 1].sum() == 0 and false_versions[:, 0].min() > 0
    assert abs(surprise(images)) < 4
    for counts in (sets.sum(axis=1), sets.sum(axis=0)):
        assert abs(surprise(counts)) < 4, "falsified versions count as captions of their data set"
    # Of the true captions of the first set fewer come as false ones, those with versions and those without alike.
    first = captions[corpus.caption_ranges[0].start : corpus.caption_ranges[0].stop]
    share = first[:, 0].sum() / first.sum()
    assert 0.4 < share < 0.47
    assert abs(surprise(first, share)) < 4
    assert abs(surprise(captions[corpus.caption_ranges[1].start : corpus.captions])) < 4


def test_candidates_are_found_and_none_is_preferred():
    """With enough of them `hard_share` is kept, and the nearest comes no more often than the farthest."""
    rng = np.random.default_rng(0)
    count = 2000
    corpus = uneven_corpus(swapped=False)
    corpus.images, corpus.captions, corpus.caption_image = count, count, np.arange(count)
    corpus.image_group, corpus.region_counts = np.arange(count), np.full(count, 4, np.int32)
    corpus.caption_ranges = [range(count)]
    table = np.stack([rng.permutation(count) for _ in range(8)], axis=1).astype(np.int32)
    table[table == np.arange(count)[:, None]] = 0
    mismatcher = Mismatcher(
        corpus,
        tokens_of(np.arange(count)),
        settings(mismatch={"share": 0.5, "hard_share": 0.3}).mismatch,
        CandidateTable(table, "", 0.5),
    )
    places, false = np.zeros(8), 0
    for epoch in range(30):
        image, caption = np.arange(count), np.arange(count, dtype=np.int32)
        is_match = np.ones(count, dtype=bool)
        mismatcher.apply(np.random.default_rng(epoch), image, caption, is_match)
        places += (table == caption[:, None])[~is_match].sum(axis=0)
        false += (~is_match).sum()
    assert places.sum() / false == pytest.approx(0.3, abs=0.015)
    assert places.max() < 1.2 * places.min()


def test_what_says_the_same_or_is_the_same_image_is_no_mismatch(tmp_path):
    """Two data sets with the same images, and captions of which many are word for word those of other images."""
    words = ["w01 w02", "w03 w04", "w05", "w06 w07 w08", "w09"]
    rng = np.random.default_rng(0)
    boxes, features = np.array([[0, 0, 9, 9]], np.float32), np.zeros((1, 2), np.float16)
    for name in ("a", "b"):
        with StoreWriter(tmp_path / f"{name}.h5", 2) as store:
            for image in range(24):
                store.add_image(f"image-{image}", 10, 10, boxes, features)
                texts = [words[i] for i in rng.choice(5, 2, replace=False)] + [f"w{10 + image} w{20 + image}"]
                first = store.add_captions(image, texts)
                store.add_swapped(first, texts[1])  # says what is true of it
                store.add_swapped(first + 1, f"w{50 + image % 10} w00")
    with Corpus([tmp_path / "a.h5", tmp_path / "b.h5"]) as corpus:
        tokens = tokenise(corpus, WordTokenizer(), 12)
        rows = np.array(
            [rng.choice(corpus.captions, 20, replace=False) for _ in range(corpus.captions)], np.int32
        )
        says = [corpus.caption_text(caption) for caption in range(corpus.captions + corpus.swapped)]
        ids = [corpus.image_id(image) for image in range(corpus.images)]
        true = {(ids[corpus.caption_image[caption]], says[caption]) for caption in range(corpus.captions)}
        for side in ("caption", "image", "either"):
            shares = {} if side == "image" else {"hard_share": 0.4, "swap_share": 0.3}
            wanted = settings(mismatch={"share": SHARE, "side": side, **shares})
            plan = Plan(corpus, tokens, wanted, CandidateTable(rows, "", 0.5))
            false = 0
            for epoch in range(40):
                made = plan.make(epoch).rows
                pairs = [
                    (ids[i], says[c]) for i, c in zip(made.image.tolist(), made.caption.tolist(), strict=True)
                ]
                assert [pair in true for pair in pairs] == made.is_match.tolist()
                false += (~made.is_match).sum()
            plan.close()
            assert false / (40 * corpus.captions) == pytest.approx(SHARE, abs=0.05), "few are lost for it"


def test_rows_that_nothing_else_is_found_for_stay_true():
    corpus = uneven_corpus(swapped=False)
    corpus.captions, corpus.caption_image = 100, np.array([0] * 90 + [1] * 10)
    corpus.caption_ranges = [range(100)]
    wanted = settings(mismatch={"share": 0.5}).mismatch
    mismatcher = Mismatcher(corpus, tokens_of(np.arange(100)), wanted, None)
    false = 0
    for epoch in range(50):
        image, caption = corpus.caption_image.copy(), np.arange(100, dtype=np.int32)
        is_match = np.ones(100, dtype=bool)
        mismatcher.apply(np.random.default_rng(epoch), image, caption, is_match)
        assert ((corpus.caption_image[caption] == image) == is_match).all()
        assert (image == corpus.caption_image).all()
        false += (~is_match).sum()
    assert 300 < false <= 50 * 20, "at most the ten, and as many of the others"


def test_captions_that_all_read_alike_are_refused():
    corpus = uneven_corpus(swapped=False)
    with pytest.raises(ValueError, match=r"the same to the tokenizer.*data.tokenizer.*mismatch.share=0"):
        Mismatcher(corpus, tokens_of(np.ones(corpus.captions)), settings().mismatch, None)


def test_dealing_keeps_every_value_and_the_sets_apart():
    rng = np.random.default_rng(0)
    values, of_rows = np.arange(1000), np.repeat([0, 1, 2], [500, 300, 200])
    of_values = np.repeat([0, 1, 2], [510, 300, 190])
    dealt, stuck = deal(rng, values, lambda rows, given: np.arange(1000)[rows] == given, (of_values, of_rows))
    assert sorted(dealt) == values.tolist() and len(stuck) == 0 and (dealt != values).all()
    assert (of_values[dealt] != of_rows).sum() == 20, "only what the sets have too many or too few of"
    # A set that cannot help itself turns to the others.
    of_rows = np.repeat([0, 1], [998, 2])
    dealt, stuck = deal(
        rng, values, lambda rows, given: (of_rows[rows] == 1) & (given >= 998), (of_rows, of_rows)
    )
    assert len(stuck) == 0 and (dealt[998:] < 998).all() and sorted(dealt) == values.tolist()


def test_texts_are_told_apart_by_words_and_places():
    texts = [[1, 5, 6, 2], [1, 6, 5, 2], [1, 5, 6, 2], [1, 5, 2], [1, 5, 6, 6, 2], [1, 0, 2], [1, 5, 6, 0]]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    table = TokenTable(np.concatenate(texts).astype(np.int32), offsets)
    for at_a_time in (2, 100):
        keys = sameness.texts_of_tokens(table, at_a_time)
        assert len(set(keys.tolist())) == 6 and keys[0] == keys[2]
