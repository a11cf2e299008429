"""How much a micro-batch may hold, and where consecutive rows are cut into micro-batches."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import ceil, sqrt

import numpy as np

from interbert.config import DataSettings, MaskSettings

# A derived capacity lies this many standard deviations above what a full micro-batch holds on average, so
# that in practice only the token budget closes micro-batches and masks are not dropped.
SPREAD = 6.0

_ROWS_AT_A_TIME = 1 << 18

# Mean and standard deviation, over captions, of the share of words that each text mask takes.
_TEXT_SHARES = {"msm_paper": (0.19, 0.15), "msm_released": (0.40, 0.30), "mlm": (0.15, 0.12)}


# How much wider the share spreads where a draw takes several tokens at once.
_WHOLE_WORDS = 1.5


@dataclass(frozen=True)
class Capacities:
    """The most that a micro-batch may hold of each thing."""

    tokens: int
    """Text tokens, regions and one global image token a pair."""
    text: int
    regions: int
    pairs: int
    masked_tokens: int
    masked_regions: int
    global_tokens: int = 1
    """Of a pair; text alone has none."""

    @classmethod
    def derive(
        cls,
        budget: int,
        data: DataSettings,
        masks: MaskSettings,
        text_lengths: np.ndarray,
        region_counts: np.ndarray,
    ) -> "Capacities":
        """What `data` sets, and for the rest what a micro-batch's budget and the data's lengths make likely.

        `text_lengths` are those of the captions, `region_counts` (already capped at `max_regions`) those of
        the images.
        """
        text_mean, text_std = float(text_lengths.mean()), float(text_lengths.std())
        region_mean, region_std = float(region_counts.mean()), float(region_counts.std())
        length = text_mean + region_mean + 1
        pairs = budget / length
        # A longer caption leaves less room for others: both spreads widen every share of the budget.
        spread = SPREAD * sqrt(pairs)
        length_std = sqrt(text_std**2 + region_std**2)
        likely_pairs = pairs + spread * length_std / length
        text = text_mean * pairs + spread * (text_std + text_mean / length * length_std)
        regions = region_mean * pairs + spread * (region_std + region_mean / length * length_std)

        text_capacity = data.text_capacity or _within(text, int(text_lengths.max()), budget)
        region_capacity = data.region_capacity or _within(regions, int(region_counts.max()), budget)
        share, share_std = _TEXT_SHARES[masks.text]
        share_std *= _WHOLE_WORDS if masks.words == "word" else 1
        masked = share * text_capacity + SPREAD * sqrt(likely_pairs) * share_std * text_mean
        # How many regions fall with an anchor depends on how the data's boxes overlap: it may be all.
        anchors = 0.15 * region_capacity + SPREAD * sqrt(0.15 * region_capacity)
        masked_regions = anchors if masks.regions == "moc" else region_capacity
        return cls(
            tokens=budget,
            text=text_capacity,
            regions=region_capacity,
            pairs=data.pair_capacity or _within(likely_pairs, 1, budget),
            masked_tokens=data.masked_token_capacity or _within(masked, 1, text_capacity),
            masked_regions=data.masked_region_capacity or _within(masked_regions, 1, region_capacity),
        )

    def check(self, longest_text: int, most_regions: int) -> None:
        """Refuse capacities that the largest possible pair does not fit into."""
        needs = {
            "token_budget": (self.tokens, longest_text + most_regions + self.global_tokens),
            "text_capacity": (self.text, longest_text),
            "region_capacity": (self.regions, most_regions),
        }
        for name, (capacity, need) in needs.items():
            if need > capacity:
                raise ValueError(
                    f"data.{name} is {capacity}, but a pair may need {need}: {longest_text} text tokens, "
                    f"{most_regions} regions and a global image token; raise data.{name} to at least {need}, "
                    "or lower data.max_text_tokens or data.max_regions"
                )

    def describe(self) -> str:
        return ", ".join(
            f"{getattr(self, f.name):,} {f.name.replace('_', ' ')}"
            for f in fields(self)
            if f.name != "global_tokens"
        )


class GroupTooLarge(ValueError):
    """A group of rows that no micro-batch has room for: `group` is its number."""

    def __init__(self, group: int) -> None:
        super().__init__(f"group {group} does not fit into a micro-batch")
        self.group = group


def cut(
    capacities: Capacities,
    text_lengths: np.ndarray,
    region_counts: np.ndarray,
    group_starts: np.ndarray | None = None,
) -> np.ndarray:
    """As `cut_rows`, with the lengths of all rows at hand."""
    return cut_rows(
        capacities,
        len(text_lengths),
        lambda start, stop: (text_lengths[start:stop], region_counts[start:stop]),
        group_starts,
    )


def cut_rows(
    capacities: Capacities,
    rows: int,
    lengths: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    group_starts: np.ndarray | None = None,
) -> np.ndarray:
    """Cut consecutive rows greedily: a micro-batch closes when the next row would pass any capacity; with
    `group_starts` (int64 [groups + 1]) only where a group begins.

    lengths: text tokens and regions of rows start:stop; it is asked for a part of them at a time.
    Returns `starts` int64 [micro_batches + 1]: micro-batch i holds rows starts[i]:starts[i + 1].
    """
    starts = [0]
    while starts[-1] < rows:
        start = starts[-1]
        stop = min(start + max(_ROWS_AT_A_TIME, capacities.pairs + 1), rows)
        starts += _cut_part(capacities, start, stop, rows, *lengths(start, stop), group_starts)
    return np.array(starts, dtype=np.int64)


def _cut_part(
    capacities: Capacities,
    first: int,
    stop: int,
    rows: int,
    text_lengths: np.ndarray,
    region_counts: np.ndarray,
    group_starts: np.ndarray | None,
) -> list[int]:
    """Where the micro-batches end that begin at `first` and go on within first:stop, of which the lengths are."""
    capacities.check(int(text_lengths.max()), 0)
    capacities.check(0, int(region_counts.max()))
    capacities.check(*_largest(text_lengths, region_counts))
    sums = [
        (_running_sum(text_lengths + region_counts + capacities.global_tokens), capacities.tokens),
        (_running_sum(text_lengths), capacities.text),
        (_running_sum(region_counts), capacities.regions),
    ]
    ends: list[int] = []
    start = first
    while start < rows:
        end = min(start + capacities.pairs, rows)
        if end > stop:
            break  # it might go on into the next part, which then begins here
        for running, capacity in sums:
            window = running[start - first + 1 : end - first + 1]
            end = start + int(window.searchsorted(running[start - first] + capacity, side="right"))
        if group_starts is not None:
            group = int(group_starts.searchsorted(end, side="right")) - 1
            if group_starts[group] <= start:
                raise GroupTooLarge(group)
            end = int(group_starts[group])
        ends.append(end)
        start = end
    return ends


def _largest(text_lengths: np.ndarray, region_counts: np.ndarray) -> tuple[int, int]:
    row = int(np.argmax(text_lengths + region_counts))
    return int(text_lengths[row]), int(region_counts[row])


def _running_sum(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def _within(likely: float, least: int, most: int) -> int:
    """Rounded up to a multiple of 8, as matrix units like it, between the bounds."""
    return max(least, min(most, 8 * ceil(likely / 8)))
