"""Averages of the weights and frozen parts, with every class that DeepSpeed makes; adapters at every stage.

Part of tests/integration/stages_worker.py, which keeps two ranks alive.
"""

import peft
import torch
from engine_checks import SAVED, STEPS, EngineChecks, apex

from interbert.model.beginning import fill
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import export, export_adapter, full_weights
from interbert.train.checkpoints.probe import probe_batch, probe_loss
from interbert.train.engine import whole_state
from interbert.train.engine.adapter_names import is_adapter
from interbert.train.engine.adapters import with_adapters
from interbert.train.engine.averages import share_kept
from interbert.train.engine.engine import Engine
from interbert.train.engine.frozen import belongs
from interbert.train.start.build import build_model

POISONED, EMA = 1, 0.3
"""The second step is skipped, and no average follows it."""
FROZEN = ("interbert.text_embeddings", "interbert.stages.0")

Weights = dict[str, torch.Tensor]


class LearningChecks:
    def __init__(self, checks: EngineChecks) -> None:
        self.checks, self.ranks = checks, checks.ranks
        self.adapted_at_0: Weights = {}

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

    def probe(self, run: Engine) -> float:
        return probe_loss(run, probe_batch(run.model.config), self.ranks)

    def shown(self, run: Engine, other: Engine, expected: Weights) -> dict:
        """What is seen of the averages. other: an engine that is given them as its weights."""
        before, loss = full_weights(run), self.probe(run)
        with run.averaged():
            shown, shown_loss = full_weights(run), self.probe(run)
        with torch.no_grad():
            whole_state.scatter(other.deepspeed, lambda name: {whole_state.WEIGHT: shown[name]})
        return {
            "difference": max(float((shown[n] - expected[n]).abs().max()) for n in expected),
            "distance": self.checks.distance(shown, before),
            "loss": shown_loss,
            "loss_of_such_weights": self.probe(other),
            "loss_before": loss,
            "loss_after": self.probe(run),
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

    def adapted(self, stage: int) -> dict:
        """Adapters alone learn, while recomputed layers drop out; held against the same run taken up again."""
        checks, name = self.checks, f"zero{stage}_fp32"
        settings = checks.settings_with("train.lora={rank: 4, dropout: 0.1}", "train.recompute=true")
        run, again = checks.build(name, settings), checks.build(name, settings)
        begun = full_weights(run)
        checks.train(run, range(SAVED))
        saved = checkpoint.save(run.deepspeed, checks.folder / f"adapted_{name}", {"step": 2}, self.ranks)
        checkpoint.load(again.deepspeed, saved, checkpoint.verify(saved))
        for each in (run, again):
            checks.train(each, range(SAVED, STEPS))
        ended = full_weights(run)
        self.adapted_at_0 = self.adapted_at_0 or ended
        moved = {name for name in begun if not torch.equal(begun[name], ended[name])}
        adapters = {name for name in begun if is_adapter(name)}
        return {
            "adapters": len(adapters),
            "only_adapters_moved": moved == adapters,
            "difference": max(float((ended[n] - self.adapted_at_0[n]).abs().max()) for n in ended),
            "moved": self.checks.distance(begun, ended),
            "resumed": checks.equal(ended, full_weights(again)),
            "exported": self.exported(run, ended),
        }

    def exported(self, run: Engine, ended: Weights) -> dict[str, float]:
        """Whether the export, an ordinary model, and the adapters on the model as it was, say what the run says."""
        folder = self.checks.folder / f"adapted_{run.config.stage}"
        export(run, self.checks.task.tokenizer, folder / "export", self.ranks)
        export_adapter(run, self.checks.task.tokenizer, folder / "adapter", self.ranks)
        model = run.model
        own, _ = with_adapters(type(model).empty(model.config), ended.__getitem__, run.settings.train)
        merged = type(model).from_pretrained(folder / "export")
        base = build_model(self.checks.task)
        said_by_base = self.said(base)
        adapted = peft.PeftModel.from_pretrained(base, str(folder / "adapter")).base_model.model
        own = self.said(fill(own, ended.__getitem__))
        others = {"merged": self.said(merged), "adapted": self.said(adapted), "base": said_by_base}
        return {name: float((own - other).abs().max()) for name, other in others.items()}

    @torch.no_grad()
    def said(self, model) -> torch.Tensor:
        return model.eval().forward_packed(self.checks.steps[0].batches[0]).match_logits_P2


def averages(run: Engine) -> Weights:
    held = whole_state.gather(run.deepspeed, (whole_state.AVERAGE,))
    return {name: found[whole_state.AVERAGE].clone() for name, found in held if found}


def mixed(average: Weights, weights: Weights, kept: float) -> Weights:
    return {name: kept * average[name] + (1 - kept) * weights[name] for name in average}


def record(trainings, encoder: str, averaged: list[str], adapted: list[int]) -> dict:
    learning = LearningChecks(EngineChecks(trainings, encoder))
    return {
        "averaged": {name: learning.averaged(name) for name in averaged},
        "adapted": {str(stage): learning.adapted(stage) for stage in adapted},
    }
