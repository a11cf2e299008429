"""Some pairs of a batch are what they would be alone."""

import torch
from made_batches import make_batch, single_pair

from interbert.batches.batch import Groups
from interbert.batches.selection import hardest_of_sets, pairs_of

TEXT, REGIONS = [4, 9, 6, 5, 7, 8], [3, 2, 6, 4, 1, 5]


def of_sets(pairs: int):
    batch = make_batch(TEXT, REGIONS, mask=False)
    batch.is_match_P = torch.tensor([1] + [0] * (pairs - 1)).repeat(len(TEXT) // pairs)
    ends = torch.arange(0, len(TEXT) + 1, pairs, dtype=torch.int32)
    count = len(TEXT) // pairs
    batch.groups = Groups(ends, torch.arange(count), largest=pairs, known=count)
    return batch


def test_each_pair_is_itself():
    batch = of_sets(3)
    chosen = [4, 0, 5]
    found = pairs_of(batch, torch.tensor(chosen), None)
    assert found.pairs == 3 and found.images_P.tolist() == found.captions_P.tolist() == chosen
    for place, pair in enumerate(chosen):
        alone, picked = single_pair(batch, pair), single_pair(found, place)
        for name in ("input_ids_T", "features_RD", "boxes_R5"):
            assert torch.equal(getattr(alone, name), getattr(picked, name)), (pair, name)
    assert found.cu_text.dtype == found.cu_regions.dtype == found.order_3P.dtype == torch.int32
    assert found.order_3P.tolist() == [[2, 0, 1], [2, 1, 0], [2, 0, 1]]  # 7, 4, 8 words and 1, 3, 5 regions


def test_a_set_keeps_its_true_pair_and_the_likeliest_false_ones():
    batch = of_sets(3)
    odds_P = torch.tensor([-9.0, 0.5, 2.0, -9.0, 3.0, -1.0])
    one = hardest_of_sets(batch, odds_P, 1)
    assert one.images_P.tolist() == [0, 2, 3, 4] and one.is_match_P.tolist() == [1, 0, 1, 0]
    assert one.groups.cu_group.tolist() == [0, 2, 4] and one.groups.largest == 2 and one.groups.known == 2
    assert hardest_of_sets(of_sets(6), torch.tensor([0.0, 1, 5, 3, 4, 2]), 3).images_P.tolist() == [
        0,
        2,
        3,
        4,
    ]
