"""Imports run downward, from the doors to the foundation."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the ground up: each room, and what it may know beside the foundation and itself.
MAY_KNOW = {
    "store": set(),
    "kernels": set(),
    "corpus": {"store"},
    "show": {"store", "corpus"},
    "mining": {"store", "corpus"},
    "batches": {"store", "corpus", "mining"},
    "sources": {"store", "corpus", "show"},
    "curate": {"store", "corpus", "show", "sources", "inference"},
    "ranks": {"kernels"},
    # The packed Batch is the one contract between data and model.
    "model": {"batches.batch", "kernels"},
    "deploy": {"batches", "store", "corpus", "kernels", "model"},
    "objectives": {"batches.batch", "kernels", "model"},
    "inference": {"store", "corpus", "batches", "sources", "model"},
    "search": {"store", "corpus", "batches", "kernels", "model", "inference"},
    "ab": {"show", "search"},
    "serve": {"search", "inference", "ab", "show", "sources"},
    "train": {
        "store",
        "corpus",
        "show",
        "mining",
        "batches",
        "sources",
        "kernels",
        "ranks",
        "model",
        "objectives",
    },
}
BELOW_TASKS = set(MAY_KNOW) - {"inference", "curate", "ab", "serve"}
MAY_KNOW["tasks.official"] = {"sources"}
MAY_KNOW["tasks.results"] = BELOW_TASKS | {"tasks.official"}
MAY_KNOW["tasks.retrieval"] = BELOW_TASKS
MAY_KNOW["tasks.blind"] = BELOW_TASKS | {"tasks.results"}
MAY_KNOW["tasks.sweep"] = BELOW_TASKS | {"tasks.results"}
MAY_KNOW["tasks.pretraining"] = BELOW_TASKS | {"tasks.results"}
MAY_KNOW["tasks.finetuning"] = BELOW_TASKS | {
    "tasks.results",
    "tasks.retrieval",
    "tasks.pretraining",
    "tasks.blind",
}
MAY_KNOW["tasks.distillation"] = BELOW_TASKS | {"tasks.pretraining", "tasks.finetuning", "tasks.retrieval"}
MAY_KNOW["commands"] = set(MAY_KNOW) - {"train"}
MAY_KNOW["launch"] = set(MAY_KNOW)
FOUNDATION = {
    "adapter_folder",
    "auto",
    "config",
    "doors",
    "recipe",
    "rng",
    "files",
    "hub",
    "idle",
    "mpi",
    "plain_bert",
    "plugins",
    "printing",
    "progress",
    "shipped",
    "script",
    "segmenter",
    "tokenizer",
    "__version__",
}


def room_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "interbert":
        return "launch"
    if len(parts) == 1 or parts[1] in FOUNDATION:
        return "foundation"
    if parts[1] in (
        "__main__",
        "__init__",
    ):  # doors, the second one to Python: it shows what lies in the rooms
        return "launch"
    if parts[1] == "tasks" or parts[1:3] == ["batches", "batch"]:
        return ".".join(parts[1:3])
    return parts[1]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "interbert"}


def upward_imports(root: Path) -> list[str]:
    faults = []
    for path in sorted([*root.glob("interbert/**/*.py"), *root.glob("launch/*.py")]):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        room = room_of(module).removesuffix(".batch")
        for name in sorted(imports_of(path)):
            target = room_of(name)
            known = MAY_KNOW.get(room, set()) | {room, "foundation"}
            if target not in known and target.removesuffix(".batch") not in known:
                faults.append(f"{module} imports {name}: {room} must not know {target}")
    return faults


def test_imports_run_downward():
    assert upward_imports(ROOT) == []


ORDERED = {
    "model": ["shape", "layers", "packing"],
    "sources": ["record", "foreign_files", "captions", "images", "features", "importing"],
    "curate": ["settings", "reading", "images", "texts"],
}


@pytest.mark.parametrize("room", ORDERED)
def test_rooms_of_a_room_know_what_is_below_them(room):
    for number, inner in enumerate(ORDERED[room]):
        below = tuple(f"interbert.{room}.{name}." for name in ORDERED[room][: number + 1])
        paths = [*ROOT.glob(f"interbert/{room}/{inner}/**/*.py"), *ROOT.glob(f"interbert/{room}/{inner}.py")]
        assert paths
        for path in paths:
            known = {name for name in imports_of(path) if name.startswith(f"interbert.{room}.")}
            assert all(name.startswith(below) for name in known), path


def test_an_upward_import_is_found(tmp_path):
    folder = tmp_path / "interbert" / "model"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text("from interbert.train.loop import train\n")
    aside = tmp_path / "interbert" / "tasks" / "results"
    aside.mkdir(parents=True)
    (aside / "bad.py").write_text("from interbert.tasks.sweep.plan import Variant\n")
    assert upward_imports(tmp_path) == [
        "interbert.model.bad imports interbert.train.loop.train: model must not know train",
        "interbert.tasks.results.bad imports interbert.tasks.sweep.plan.Variant: "
        "tasks.results must not know tasks.sweep",
    ]


def test_no_module_writes_into_another_layer_by_relative_import():
    for path in ROOT.glob("interbert/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: write imports in full"


def test_the_trainer_names_no_task():
    """What it must know of one stands in `train/task.py`: it asks for no kind and no world."""
    named = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "interbert" / "train").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and (node.attr == "world" or ast.unparse(node).endswith("settings.task"))
    ]
    assert not named
