"""Averages of the weights and frozen parts, with every class that DeepSpeed makes.

Part of tests/integration/stages_worker.py, which keeps two ranks alive.
"""

import torch
from engine_checks import SAVED, STEPS, EngineChecks, apex

from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import full_weights
from interbert.train.checkpoints.probe import probe_loss
from interbert.train.engine import whole_state
from interbert.train.engine.averages import share_kept
from interbert.train.engine.engine import Engine
from interbert.train.engine.frozen import belongs

AVERAGED = [f"zero{stage}_{precision}" for stage in range(4) for precision in ("fp32", "bf16")]
AVERAGED += ["zero0_bf16+FusedAdam", "zero1_bf16_accumulated", "zero3_offload_bf16"]
POISONED, EMA = 1, 0.3
"""The second step is skipped, and no average follows it."""
FROZEN = ("interbert.text_embeddings", "interbert.stages.0")

Weights = dict[str, torch.Tensor]


class LearningChecks:
    def __init__(self, checks: EngineChecks) -> None:
        self.checks, self.ranks = checks, checks.ranks

    def averaged(self, name: str) -> dict:
        """A run that keeps averages and freezes parts, held against averages made here of whole weights, and against
        the same run taken up again."""
        checks, (file, _, fused) = self.checks, name.partition("+")
        settings = checks.settings_with(f"train.ema={EMA}", f"train.frozen=[{', '.join(FROZEN)}]")
        with apex(fused):
            run, again = checks.build(file, settings), checks.build(file, settings)
            begun = expected = full_weights(run)
            for step in range(SAVED):
                checks.train(run, range(step, step + 1), (POISONED,))
                if step != POISONED:
                    expected = mixed(expected, full_weights(run), share_kept(EMA, 1))
            found = {
                "frozen": self.frozen(begun, full_weights(run)),
                "shown": self.shown(run, again, expected),
            }
            folder = checks.folder / f"averaged_{name}"
            saved = checkpoint.save(run.deepspeed, folder, {"step": 2}, self.ranks)
            checkpoint.load(again.deepspeed, saved, checkpoint.verify(saved))
            for each in (run, again):
                checks.train(each, range(SAVED, STEPS))
            found["resumed"] = checks.equal(full_weights(run), full_weights(again))
            found["averages_resumed"] = checks.equal(averages(run), averages(again))
            return found

    def shown(self, run: Engine, other: Engine, expected: Weights) -> dict:
        """What is seen of the averages. other: an engine that is given them as its weights."""
        before, loss = full_weights(run), probe_loss(run, self.ranks)
        with run.averaged():
            shown, shown_loss = full_weights(run), probe_loss(run, self.ranks)
        with torch.no_grad():
            whole_state.scatter(other.deepspeed, lambda name: {whole_state.WEIGHT: shown[name]})
        return {
            "difference": max(float((shown[n] - expected[n]).abs().max()) for n in expected),
            "distance": self.checks.distance(shown, before),
            "loss": shown_loss,
            "loss_of_such_weights": probe_loss(other, self.ranks),
            "loss_before": loss,
            "loss_after": probe_loss(run, self.ranks),
            "restored": self.checks.equal(before, full_weights(run)),
        }

    def frozen(self, begun: Weights, ended: Weights) -> dict:
        """How many of the parameters moved."""
        moved = {name for name in begun if not torch.equal(begun[name], ended[name])}
        frozen = {name for name in begun if belongs(name, FROZEN)}
        return {
            "frozen_that_moved": sorted(moved & frozen),
            "others_still": sorted(begun.keys() - frozen - moved),
        }


def averages(run: Engine) -> Weights:
    held = whole_state.gather(run.deepspeed, (whole_state.AVERAGE,))
    return {name: found[whole_state.AVERAGE].clone() for name, found in held if found}


def mixed(average: Weights, weights: Weights, kept: float) -> Weights:
    return {name: kept * average[name] + (1 - kept) * weights[name] for name in average}


def record(trainings, encoder: str) -> dict:
    learning = LearningChecks(EngineChecks(trainings, encoder))
    return {"averaged": {name: learning.averaged(name) for name in AVERAGED}}
