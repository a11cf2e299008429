"""Imports run downward: config, rng -> data, model, kernels -> objectives -> train -> tasks -> launch."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "foundation": {"foundation"},
    "kernels": {"foundation", "kernels"},
    "data": {"foundation", "data"},
    # The model takes the packed Batch from data, and nothing else: that is the one contract between them.
    "model": {"foundation", "kernels", "data.batch", "model"},
    "extract": {"foundation", "data", "extract"},
    "objectives": {"foundation", "kernels", "data.batch", "model", "objectives"},
    "train": {"foundation", "kernels", "data", "model", "objectives", "train"},
    "tasks": {"foundation", "kernels", "data", "model", "objectives", "train", "tasks"},
    "commands": {"foundation", "kernels", "data", "model", "objectives", "extract", "tasks", "commands"},
    "launch": {"foundation", "kernels", "data", "model", "objectives", "train", "tasks", "commands"},
}
FOUNDATION = {"config", "rng", "files", "hub", "plain_bert", "progress", "tokenizer", "__init__"}


def layer_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "interbert":
        return "launch"
    if len(parts) == 1 or parts[1] in FOUNDATION:
        return "foundation"
    if parts[1] == "__main__":
        return "launch"
    return "data.batch" if parts[1:3] == ["data", "batch"] else parts[1]


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
        layer = layer_of(module)
        allowed = MAY_IMPORT["data" if layer == "data.batch" else layer]
        for name in sorted(imports_of(path)):
            target = layer_of(name)
            if target not in allowed and not (target == "data.batch" and "data" in allowed):
                faults.append(f"{module} imports {name}: {layer} must not know {target}")
    return faults


def test_imports_run_downward():
    assert upward_imports(ROOT) == []


def test_an_upward_import_is_found(tmp_path):
    folder = tmp_path / "interbert" / "model"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text("from interbert.train.loop import train\n")
    assert upward_imports(tmp_path) == [
        "interbert.model.bad imports interbert.train.loop.train: model must not know train"
    ]


def test_no_module_writes_into_another_layer_by_relative_import():
    for path in ROOT.glob("interbert/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: write imports in full"
