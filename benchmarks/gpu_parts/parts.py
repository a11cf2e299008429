"""What is run on a device, in which order, beside what, and for how long.

A part is commands of this checkout, the same on a GPU and in a rehearsal on a CPU, where sizes are tiny, the emulator
runs the kernels, and gloo is in NCCL's place.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_parts import figures
from benchmarks.gpu_parts.rows import Row

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS, STAGES = ("bf16", "fp16"), (0, 1, 2, 3)


@dataclass(frozen=True)
class Part:
    name: str
    commands: list[list[str]]
    """One after the other; the first that fails ends it."""
    rows: Callable[[], list[Row]]
    """Read from what the commands left."""


@dataclass(frozen=True)
class Group:
    """Parts that run beside each other: those that are timed are alone."""

    seconds: float
    """Of the whole, when all take what they are given. What a group leaves, those after it have more."""
    parts: list[Part]


@dataclass(frozen=True)
class Sizes:
    widths: tuple[int, ...]
    """Of attention's heads."""
    step_pairs: tuple[int, ...]
    step: tuple[str, ...]
    graphs: tuple[str, ...]
    """Of the step: captured or not. A CPU has none to capture, and goes through the choice."""
    attention: tuple[str, ...]
    operations: tuple[str, ...]
    gelu_product: tuple[str, ...]
    evaluation: tuple[str, ...]
    pretrain: tuple[str, ...]
    """Beside the recipe."""
    scenes: tuple[str, ...]
    """Settings of the world that it learns from."""
    stage_steps: tuple[int, int]
    """Of a run at a ZeRO stage: until it is saved, and until its end."""
    config: str
    """Of the embedded run."""


FEW_SCENES = (
    "scenes.train_images=48",
    "scenes.validation_images=16",
    "scenes.test_images=16",
    "train.validation_micro_batches=1",
)
SIZES = {
    "cuda": Sizes(
        widths=(32, 64, 96, 128),
        step_pairs=(128, 512, 1024),
        step=("--preset", "base", "--steps", "10", "--images", "500"),
        graphs=("true", "false"),
        attention=("--dropout", "0.0", "0.1"),
        operations=("--pairs", "512"),
        gelu_product=("--pairs", "512"),
        evaluation=("--images", "1000", "--captions", "500", "--rounds", "3", "--replayed", "--whole"),
        pretrain=(),
        scenes=(),
        stage_steps=(60, 80),
        config="zero0_bf16",
    ),
    "cpu": Sizes(
        widths=(64,),  # the emulator's take a minute each to compile
        step_pairs=(2, 4, 6),
        step=("--preset", "tiny", "--steps", "1", "--images", "20"),
        graphs=("auto", "false"),
        attention=("--dropout", "0.1", "--shapes", "12 x 64"),
        operations=("--pairs", "1", "--rounds", "1"),
        gelu_product=("--pairs", "1", "--rounds", "1", "--hidden", "256", "--inner", "128"),
        evaluation=("--preset", "tiny", "--images", "6", "--captions", "8", "--rounds", "1", "--whole"),
        pretrain=("--max-steps", "4"),
        scenes=FEW_SCENES,
        stage_steps=(2, 3),
        config="cpu",
    ),
}


@dataclass(frozen=True)
class Plan:
    device: str
    """cuda, or cpu: a rehearsal."""
    folder: Path
    """Where parts write."""

    @property
    def sizes(self) -> Sizes:
        return SIZES[self.device]

    def groups(self) -> list[Group]:
        numbers = [self.numbers(width) for width in self.sizes.widths]
        steps = [self.step(pairs, how) for pairs in self.sizes.step_pairs for how in self.sizes.graphs]
        stages = [self.stage(precision, stage) for precision in PRECISIONS for stage in STAGES]
        return [
            Group(60, [self.machine(), *(self.kernels(width) for width in self.sizes.widths), self.scenes()]),
            Group(40, [self.primitives(), *numbers, self.row_operations()]),
            Group(70, [self.attention()]),
            *(Group(25, [step]) for step in steps),
            Group(30, [self.operations()]),
            Group(10, [self.gelu_product()]),
            Group(40, [self.evaluation()]),
            Group(120, [self.pretrain(), self.one_rank(), *stages]),
            Group(1, [self.stages_alike()]),
        ]

    def machine(self) -> Part:
        return self._program("machine", "gpu_parts/machine.py", figures.machine)

    def kernels(self, width: int) -> Part:
        """Compiled before anything waits for them."""
        words = ["--width", str(width)]
        return self._program(f"kernels, {width} wide", "gpu_parts/kernels.py", figures.kernels, *words)

    def scenes(self) -> Part:
        command = [sys.executable, "benchmarks/gpu_parts/scenes.py", *self._scenes(self.folder / "scenes")]
        return Part("scenes", [command], list)

    def primitives(self) -> Part:
        return self._attention("primitives", figures.primitives, "--only", "primitives")

    def numbers(self, width: int) -> Part:
        words = ["--only", "numbers", "--widths", str(width), "--spread"]
        return self._attention(f"attention, {width} wide, against fp64", figures.numbers, *words)

    def row_operations(self) -> Part:
        return self._program("operations on rows", "gpu_parts/row_operations.py", figures.numbers)

    def attention(self) -> Part:
        return self._attention("attention", figures.attention, "--only", "times", *self.sizes.attention)

    def step(self, pairs: int, graphs: str) -> Part:
        words = ["--models", "engine", "--pairs", str(pairs), "--graphs", graphs, *self.sizes.step]
        name = f"step of {pairs} pairs, graphs {graphs}"
        return self._program(name, "train_step.py", figures.step, "--precisions", "bf16", *words)

    def operations(self) -> Part:
        words = self.sizes.operations
        return self._program("fused operations", "small_operations.py", figures.operations, *words)

    def gelu_product(self) -> Part:
        words = self.sizes.gelu_product
        return self._program("GELU within products", "gelu_product.py", figures.gelu_product, *words)

    def evaluation(self) -> Part:
        return self._program("evaluation", "evaluation.py", figures.evaluation, *self.sizes.evaluation)

    def one_rank(self) -> Part:
        return self._program("a group of one rank", "gpu_parts/one_rank.py", figures.one_rank)

    def pretrain(self) -> Part:
        """What `make pretrain` does, with a launcher."""
        run = self.folder / "pretrain"
        launch = [sys.executable, "-m", "interbert", "launch"]
        commands = [
            [
                *launch,
                "pretrain",
                "--num_gpus",
                "1",
                *self._run(run, self.sizes.config),
                *self.sizes.pretrain,
            ],
            [*launch, "evaluate", "--num_gpus", "1", "--task", "retrieval", "--run", str(run)],
        ]
        commands[0] += self._scenes(self.folder / "scenes")
        return Part("pretrain", commands, lambda: figures.pretrain(run))

    def stage(self, precision: str, stage: int) -> Part:
        """A short run that is saved, and goes on from there."""
        name = f"zero{stage}_{precision}"
        run = self.folder / name
        script = ["launch/pretrain.py"]
        if self.device == "cpu":
            script = ["benchmarks/gpu_parts/stand_in.py", *script]
        words = [sys.executable, *script, *self._run(run, name), "--set", "train.log_every=1"]
        words += ["--set", "train.export_initial=false"]
        for few in FEW_SCENES:
            words += ["--set", few]
        words += ["--set", f"scenes.folder={run}_scenes"]
        commands = [[*words, "--max-steps", str(steps)] for steps in self.sizes.stage_steps]
        return Part(f"{precision}, ZeRO {stage}", commands, lambda: figures.stage(run, name))

    def stages_alike(self) -> Part:
        """Nothing to run: what the stages came to, held against each other."""
        runs = {
            precision: [self.folder / f"zero{stage}_{precision}" for stage in STAGES]
            for precision in PRECISIONS
        }
        return Part("ZeRO stages alike", [], lambda: figures.stages_alike(runs))

    def _program(self, name: str, script: str, rows: Callable[[Path], list[Row]], *words: str) -> Part:
        file = self.folder / f"{name.replace(' ', '_').replace(',', '')}.json"
        command = [
            sys.executable,
            f"benchmarks/{script}",
            "--device",
            self.device,
            *words,
            "--json",
            str(file),
        ]
        return Part(name, [command], lambda: rows(file))

    def _attention(self, name: str, rows: Callable[[Path], list[Row]], *words: str) -> Part:
        return self._program(name, "attention.py", rows, *words)

    def _run(self, run: Path, config: str) -> list[str]:
        own = ["--recipe", "scenes", "--deepspeed_config", f"ds_configs/{config}.json"]
        return [*own, "--output-dir", str(run)]

    def _scenes(self, folder: Path) -> list[str]:
        settings = [*self.sizes.scenes, f"scenes.folder={folder}"]
        return [word for setting in settings for word in ("--set", setting)]
