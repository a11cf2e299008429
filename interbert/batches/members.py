"""Groups of things, to draw members from: the captions of an image, the falsified versions of a caption."""

import numpy as np


class Members:
    """Members of each of `groups` groups, one group after another in `order`."""

    def __init__(self, members: np.ndarray, group_of: np.ndarray, groups: int) -> None:
        self.order = members[np.argsort(group_of, kind="stable")]
        self.counts = np.bincount(group_of, minlength=groups).astype(np.int32)
        self.starts = np.cumsum(self.counts, dtype=np.int64) - self.counts

    def pick(self, group: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A member of each given (non-empty) group, by a number drawn from [0, 1)."""
        return self.order[self.starts[group] + (uniform * self.counts[group]).astype(np.int64)]
