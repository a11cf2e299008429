"""How well scores rank what belongs together: recall at 1, 5 and 10, median and mean rank.

Letters: I images, C captions; scores_IC[i, c] says how well caption c fits image i, higher is better.

A rank is 1 + the number of wrong candidates scored higher + half the number scored exactly the same: the mean
of the best and the worst place that the tie allows. So a model that gives every pair the same score gets the
middle rank, not the first. A candidate of the query's own never counts against it.
"""

import numpy as np


def text_to_image_ranks(scores_IC: np.ndarray, image_of_C: np.ndarray) -> np.ndarray:
    """float64 [C]: the rank of each caption's image among all images; image_of_C holds rows of scores_IC."""
    captions = np.arange(scores_IC.shape[1])
    own_C = scores_IC[image_of_C, captions]
    higher_C = (scores_IC > own_C).sum(axis=0)
    tied_C = (scores_IC == own_C).sum(axis=0) - 1
    return 1 + higher_C + tied_C / 2


def image_to_text_ranks(scores_IC: np.ndarray, image_of_C: np.ndarray) -> np.ndarray:
    """float64: the rank of the best of each image's captions among the captions of other images.

    Images without a caption have nothing to find and are left out.
    """
    own_IC = image_of_C == np.arange(scores_IC.shape[0])[:, None]
    best_I1 = np.where(own_IC, scores_IC, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    higher_I = ((scores_IC > best_I1) & ~own_IC).sum(axis=1)
    tied_I = ((scores_IC == best_I1) & ~own_IC).sum(axis=1)
    return (1 + higher_I + tied_I / 2)[own_IC.any(axis=1)]


def summarise_ranks(ranks: np.ndarray) -> dict[str, float]:
    recalls = {f"r{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
    return {**recalls, "median_rank": float(np.median(ranks)), "mean_rank": float(ranks.mean())}


def retrieval_metrics(scores_IC: np.ndarray, image_of_C: np.ndarray) -> dict[str, object]:
    """Both directions, as shares of 1, with what was ranked."""
    assert scores_IC.shape[1] == len(image_of_C) > 0
    by_image = image_to_text_ranks(scores_IC, image_of_C)
    return {
        "text_to_image": summarise_ranks(text_to_image_ranks(scores_IC, image_of_C)),
        "image_to_text": summarise_ranks(by_image),
        "images": scores_IC.shape[0],
        "captions": scores_IC.shape[1],
        "images_without_captions": scores_IC.shape[0] - len(by_image),
    }
