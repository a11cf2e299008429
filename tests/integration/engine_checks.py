"""Engines of every kind that DeepSpeed makes, of its real classes: how they begin, and whether they can be taken up
again.

Part of tests/integration/stages_worker.py, which keeps two ranks alive.
"""

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from apex_twin import TWINS
from transformers import BertConfig, BertForPreTraining

from interbert.batches.endless import Position
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.recipe import load_recipe
from interbert.tasks.pretraining.task import Pretraining, open_pretraining
from interbert.train.checkpoints import checkpoint
from interbert.train.checkpoints.export import full_weights
from interbert.train.engine import engine, optimizer, optimizer_state, whole_state
from interbert.train.engine.deepspeed_config import load_engine_config
from interbert.train.engine.engine import Engine
from interbert.train.start.build import DTYPES, build_model

ROOT = Path(__file__).parents[2]
FILES = [f"zero{stage}_{precision}" for stage in range(4) for precision in ("fp32", "bf16", "fp16")]
FILES += ["zero2_offload_bf16", "zero3_offload_bf16"]
APEX = ["zero0_fp32+FusedLAMB", "zero0_bf16+FusedLAMB", "zero1_bf16+FusedAdam"]
ACCUMULATED = "zero1_bf16_accumulated"
STEPS, SAVED, POISONED = 4, 2, (1, 2)
"""Two steps, a save, two more. In fp16 a loss is infinite before the save and after it."""
BASE = ("data.token_budget=256", "train.micro_batches=2", "train.schedule_steps=40", "train.warmup_share=0")


class EngineChecks:
    def __init__(self, trainings, encoder: str) -> None:
        self.trainings, self.ranks, self.encoder = trainings, trainings.ranks, encoder
        self.folder = trainings.data.parent
        self.settings = self.settings_with()
        self.task = open_pretraining(self.settings, self.ranks)
        plan = self.task.plan(self.settings, self.ranks)
        with self.task.loader(self.settings, plan, self.ranks, Position()) as loader:
            self.steps = [copy.deepcopy(next(loader)) for _ in range(STEPS)]

    def settings_with(self, *sets: str):
        data = {"train": [str(self.trainings.data)]}
        return load_recipe("scenes", [self.encoder, *BASE, *sets], data=data)

    def config(self, name: str, settings):
        """Of a file in ds_configs, or made of one: fp16 begins with a scale at which nothing overflows of itself."""
        tree = json.loads((ROOT / "ds_configs" / f"{name.removesuffix('_accumulated')}.json").read_text())
        if name.endswith("_accumulated"):
            tree["data_types"] = {"grad_accum_dtype": "fp32"}
        if "fp16" in tree:
            tree["fp16"]["initial_scale_power"] = 12
        path = self.folder / f"{name}.json"
        self.ranks.main_only(lambda: path.write_text(json.dumps(tree)))
        return load_engine_config(str(path), settings, self.ranks.world_size)

    def build(self, name: str, settings, whole: bool = False) -> Engine:
        """whole: from a model that each rank holds whole, at stage 3 too."""
        config = self.config(name, settings)
        task = self.as_set(settings)
        model = build_model(task, None if whole else config)
        return Engine(task.step(model), task.terms, settings, config, task.head_parameters)

    def as_set(self, settings) -> Pretraining:
        """The same data, learnt from with other settings."""
        task = copy.copy(self.task)
        task.settings = settings
        return task

    def train(self, run: Engine, steps: range, poisoned: tuple[int, ...] = ()) -> list[float]:
        """The gradients' norms."""
        return [
            self.trainings.step(run, d.batches, d.numbers, step, step in poisoned)["grad_norm"]
            for step, d in zip(steps, self.steps[steps.start : steps.stop], strict=True)
        ]

    def check(self, name: str) -> dict:
        """How an engine begins, and whether another one goes on from its checkpoint as it does itself."""
        file, _, fused = name.partition("+")
        settings = self.settings_with(*(["train.optimizer=lamb"] if fused == "FusedLAMB" else []))
        with apex(fused):
            run = self.build(file, settings)
            found = {"class": type(run.deepspeed.optimizer).__name__} | self.beginning(run, settings)
            poisoned = POISONED if run.config.precision == "fp16" else ()
            before = full_weights(run)
            found["norms"] = self.train(run, range(1))
            found["moved"] = self.distance(before, full_weights(run))
            found["norms"] += self.train(run, range(1, SAVED), poisoned)
            saved = checkpoint.save(run.deepspeed, self.folder / f"checks_{name}", {"step": 2}, self.ranks)
            found["saved"] = whole_state.counters(run.deepspeed)
            again = self.build(file, settings)
            checkpoint.load(again.deepspeed, saved, checkpoint.verify(saved))
            found["loaded"] = whole_state.counters(again.deepspeed)
            for each in (run, again):
                self.train(each, range(SAVED, STEPS), poisoned)
            found["ends"] = [whole_state.counters(each.deepspeed) for each in (run, again)]
            return found | {"equal": self.equal(full_weights(run), full_weights(again))}

    def beginning(self, run: Engine, settings) -> dict:
        model = build_model(self.as_set(settings))
        dtype = DTYPES[run.config.precision]
        start = {name: p.detach().to(dtype).float() for name, p in model.named_parameters()}
        moments = [
            float(tensors[key].abs().max())
            for _, tensors in whole_state.gather(run.deepspeed)
            for key in optimizer_state.MOMENTS
        ]
        return {
            "undecayed": self.equal(full_weights(run), start),
            "largest_moment": max(moments),
            "first_step": whole_state.counters(run.deepspeed)["optimizer_steps"],
        }

    def distance(self, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return math.sqrt(sum(float((one[name] - other[name]).square().sum()) for name in one))

    def equal(self, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
        """On every rank."""
        same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        return all(self.ranks.gather(same))

    def starts(self) -> dict:
        """Two steps at stage 3 of a model that was shared out while it was made, and of one that was whole."""
        bert, folder = self.folder / "bert", self.folder / "ours"
        self.ranks.main_only(lambda: self.write_weights(bert, folder))
        sets = {
            "seed": [],
            "bert": [f"model.bert={bert}", "model.override={pooler_size: 32}"],
            "folder": [f"model.inherit_from={folder}", "model.override={}"],
        }
        return {name: self.start(self.settings_with(*changed)) for name, changed in sets.items()}

    def start(self, settings) -> dict:
        begun, ended = [], []
        for whole in (False, True):
            run = self.build("zero3_fp32", settings, whole)
            begun.append(full_weights(run))
            self.train(run, range(2))
            ended.append(full_weights(run))
        moved = self.distance(begun[0], ended[0])
        return {"begun": self.equal(*begun), "ended": self.equal(*ended), "moved": moved}

    def write_weights(self, bert: Path, folder: Path) -> None:
        torch.manual_seed(0)
        sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
        words = self.task.tokenizer.vocab_size
        BertForPreTraining(BertConfig(vocab_size=words, **sizes)).save_pretrained(bert)
        corpus = self.task.corpus
        fields = {"feature_width": corpus.feature_width, "classes": corpus.classes}
        config = InterBertConfig.from_preset("tiny", vocab_size=words, max_position_embeddings=512, **fields)
        InterBertForPreTraining.from_seed(config, 9).save_pretrained(folder)

    def memory(self) -> dict:
        """How far this rank's memory rises while a larger model is made, as a share of the whole in fp32."""
        layers = "{kind: joint, layers: 12, heads: 8, intermediate_size: 2048}"
        settings = self.settings_with(f"model.override={{hidden_size: 512, stages: [{layers}]}}")
        found = {}
        for name, config in (("shared_out", self.config("zero3_bf16", settings)), ("whole", None)):
            with risen() as peak:
                model = build_model(self.as_set(settings), config)
            numbers = sum(math.prod(whole_state.shape_of(p)) for p in model.parameters())
            found[name] = max(self.ranks.gather(peak["bytes"] / (4 * numbers)))
        return found


@contextmanager
def risen() -> Iterator[dict[str, int]]:
    """By how much the memory of this process was above its beginning, at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, found = resident("VmRSS"), {}
    yield found
    found["bytes"] = resident("VmHWM") - before


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


@contextmanager
def apex(name: str) -> Iterator[None]:
    """Has the engines take that optimizer of apex, as they would on a GPU."""
    if not name:
        yield
        return
    kept = optimizer_state.apex_symbol, optimizer.apex_symbol, engine.build_optimizer
    optimizer_state.apex_symbol = optimizer.apex_symbol = TWINS.get
    engine.build_optimizer = on_gpu
    try:
        yield
    finally:
        optimizer_state.apex_symbol, optimizer.apex_symbol, engine.build_optimizer = kept


def on_gpu(*arguments) -> torch.optim.Optimizer:
    available, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        return optimizer.build_optimizer(*arguments)
    finally:
        torch.cuda.is_available = available


def record(trainings, encoder: str) -> dict:
    from deepspeed.accelerator import get_accelerator

    # DeepSpeed refuses fp16 on CPUs, where torch computes in it, if slowly.
    get_accelerator().is_fp16_supported = lambda: True
    checks = EngineChecks(trainings, encoder)
    found = {name: checks.check(name) for name in (*FILES, *APEX, ACCUMULATED)}
    return {"engines": found, "starts": checks.starts(), "memory": checks.memory()}
