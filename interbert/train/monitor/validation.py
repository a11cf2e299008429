"""Losses on a held-out split with fixed masks, and now and then one pair of it as a picture."""

from collections.abc import Callable

from interbert.batches.batch import Batch
from interbert.ranks.distributed import Ranks
from interbert.train.engine.engine import Engine


class Validation:
    def __init__(self, batches: list[Batch], draw: Callable | None = None) -> None:
        """batches: the same fixed ones on every rank; draw(model) -> picture of one pair."""
        self.batches = batches
        self._draw = draw

    def losses(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        """Global means. Every rank runs the same number of forwards (ZeRO-3 needs that); fillers weigh nothing."""
        mine = self.batches[ranks.rank :: ranks.world_size]
        rounds = -(-len(self.batches) // ranks.world_size)
        fillers = [self.batches[0]] * (rounds - len(mine))
        weights = [1.0] * len(mine) + [0.0] * len(fillers)
        return engine.evaluate([*mine, *fillers], weights, ranks)

    def picture(self, engine: Engine, ranks: Ranks):
        """On all ranks alike, for ZeRO-3 gathers weights module by module."""
        if self._draw is None:
            return None
        engine.deepspeed.eval()
        image = self._draw(engine.model, ranks.device)
        engine.deepspeed.train()
        return image
