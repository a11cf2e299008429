"""Writes docs/api.md from the docstrings of what is public: `python docs/api.py`.

Sources are read, not imported: signatures stand as they are written, and torch is not waited for.
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"

# Under each heading: where a name is imported from, the module that has its source, the names.
PUBLIC: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "Plain calls": [
        ("interbert", "interbert.inference.calls", ("score", "answer")),
        ("interbert", "interbert.inference.regions", ("ImageRegions",)),
        ("interbert.inference.processor", "interbert.inference.processor", ("InterBertProcessor",)),
    ],
    "Models": [
        ("interbert.model.base", "interbert.model.base", ("InterBertPreTrainedModel",)),
        ("interbert.model", "interbert.model.base", ("InterBertModel",)),
        ("interbert.model", "interbert.model.interbert", ("InterBertForPreTraining",)),
        ("interbert.model", "interbert.model.outputs", ("InterBertOutput",)),
        ("interbert.model", "interbert.model.shape.configuration", ("InterBertConfig",)),
        ("interbert.model", "interbert.model.shape.shape", ("Stage", "ConfigurationError")),
        ("interbert.model.shape.shape", "interbert.model.shape.shape", ("Shape", "TaskShape")),
        (
            "interbert.model",
            "interbert.model.tasks",
            (
                "InterBertForImageTextRetrieval",
                "InterBertForQuestionAnswering",
                "InterBertForSequenceClassification",
                "InterBertForVisualReasoning",
                "InterBertForMultipleChoice",
                "InterBertForRegionChoice",
            ),
        ),
        ("interbert.model.task_head", "interbert.model.task_head", ("InterBertFineTuned", "FineTunedOutput")),
        ("interbert.model.loading", "interbert.model.loading", ("load_ours", "load_with_adapters")),
    ],
    "Weights from elsewhere": [
        (
            "interbert.model.convert",
            "interbert.model.convert.released",
            ("load_released", "load_released_tasks", "convert_released", "export_released"),
        ),
        ("interbert.model.convert", "interbert.model.convert.bert", ("load_bert",)),
        (
            "interbert.model.convert",
            "interbert.model.convert.visualbert",
            ("convert_visualbert", "export_visualbert"),
        ),
        ("interbert.model.convert", "interbert.model.convert.uniter", ("convert_uniter",)),
        ("interbert.model.convert", "interbert.model.convert.volta", ("convert_volta",)),
        ("interbert.model.convert", "interbert.model.convert.files", ("read_weights",)),
        ("interbert.model.convert", "interbert.model.convert.report", ("Report", "WeightsError")),
    ],
    "Search": [
        ("interbert.search.searcher", "interbert.search.searcher", ("Searcher", "Load")),
        ("interbert.search.looks", "interbert.search.looks", ("Look",)),
        (
            "interbert.search.requests",
            "interbert.search.requests",
            (
                *("Search", "Rerank", "Embed", "Item", "Put", "Options"),
                *("Found", "Hit", "Explanation", "Ranked", "Embedded", "Placed"),
                *("Refused", "Busy", "Late", "Closing", "TooMuch", "NoSuchItem"),
            ),
        ),
    ],
    "Data": [
        ("interbert.store.store", "interbert.store.writer", ("StoreWriter",)),
        ("interbert.store.store", "interbert.store.store", ("Store",)),
        ("interbert.store.store", "interbert.store.format", ("StoreError",)),
        ("interbert.sources.scenes.write", "interbert.sources.scenes.write", ("write_scenes",)),
        ("interbert.sources.scenes.forms", "interbert.sources.scenes.forms", ("holds",)),
    ],
    "Words": [
        (
            "interbert.tokenizer",
            "interbert.tokenizer",
            ("Tokenizer", "load_tokenizer", "train_wordpiece", "TokenizerError"),
        ),
    ],
    "Recipes": [
        ("interbert.recipe", "interbert.recipe", ("load_recipe", "recipe_names")),
    ],
    "Objectives": [
        ("interbert.objectives", "interbert.model.losses", ("msm", "moc", "mrm", "mrfr", "itm")),
        ("interbert.objectives", "interbert.objectives", ("losses", "Loss")),
        ("interbert.batches.batch", "interbert.batches.batch", ("Batch",)),
    ],
    "Kernels": [
        ("interbert.kernels", "interbert.kernels.attend.attention", ("attention",)),
        ("interbert.kernels", "interbert.kernels.attend.cross_attention", ("cross_attention",)),
        ("interbert.kernels", "interbert.kernels.attend.fused_table", ("supported",)),
    ],
    "Pictures": [
        ("interbert.show.drawing", "interbert.show.drawing", ("draw_regions", "attention_picture")),
        (
            "interbert.tasks.pretraining.pictures",
            "interbert.tasks.pretraining.pictures",
            ("PairPicture", "validation_picture"),
        ),
    ],
    "A task of your own": [
        ("interbert.train.task", "interbert.train.task", ("Task", "Term", "Judge", "Kind")),
        ("interbert.train.start.flags", "interbert.train.start.flags", ("start", "add_run_flags")),
    ],
}
HEAD = """# Python names

What other programs may import. Until version 1 a new MINOR may change these names, and
[CHANGELOG.md](../CHANGELOG.md) says so; of all others nothing is said. The letters behind tensors' names are those of
`interbert/batches/batch.py`. `python docs/api.py` writes this page from the sources' own docstrings.
"""
Definition = ast.ClassDef | ast.FunctionDef


def source_of(module: str) -> Path:
    path = ROOT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def page() -> str:
    parts = [HEAD]
    for heading, rows in PUBLIC.items():
        parts.append(f"## {heading}\n")
        for place, module, names in rows:
            defined = {
                node.name: node
                for node in ast.parse(source_of(module).read_text()).body
                if isinstance(node, Definition)
            }
            parts += [entry(place, defined[name]) for name in names]
    return "\n".join(parts)


def entry(place: str, node: Definition) -> str:
    lines = [f"### {node.name}\n", f"```python\nfrom {place} import {node.name}\n\n{signature(node)}\n```\n"]
    lines += [said(node)] if ast.get_docstring(node) else []
    members = list(members_of(node)) if isinstance(node, ast.ClassDef) else []
    return "\n".join([*lines, *(["\n".join(members) + "\n"] if members else [])])


def signature(node: Definition) -> str:
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{node.name}({arguments_of(node)}){returns}"
    begin = next((f for f in functions_of(node) if f.name == "__init__"), None)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    return f"class {node.name}({bases})" if begin is None else f"{node.name}({arguments_of(begin)})"


def arguments_of(node: ast.FunctionDef) -> str:
    arguments = node.args
    for own in (arguments.posonlyargs, arguments.args):
        own[:] = [one for one in own if one.arg not in ("self", "cls")]
    return ast.unparse(arguments)


def members_of(node: ast.ClassDef) -> Iterator[str]:
    """A line for each field, property and method that is for others."""
    for field, behind in zip(node.body, [*node.body[1:], None], strict=True):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.target.id[0] != "_"
        ):
            told = f": {joined(text_of(behind))}" if text_of(behind) else ""
            yield f"- `{ast.unparse(field)}`{told}"
    for function in functions_of(node):
        if function.name[0] != "_":
            named = ast.unparse(function.returns) if is_property(function) and function.returns else ""
            what = f"{function.name}: {named}" if named else signature(function)
            told = f": {joined(ast.get_docstring(function) or '')}" if ast.get_docstring(function) else ""
            yield f"- `{what}`{told}"


def functions_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Without those that set a property."""
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    return [one for one in functions if not any("setter" in ast.unparse(by) for by in one.decorator_list)]


def is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(one) in ("property", "cached_property") for one in node.decorator_list)


def text_of(node: ast.AST | None) -> str:
    """Of a string that stands below a field."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return node.value.value if is_text and isinstance(node.value.value, str) else ""


def said(node: Definition) -> str:
    """The docstring; examples as code, and what an __init__ says of its arguments."""
    text = ast.get_docstring(node) or ""
    lines: list[str] = []
    for line in text.splitlines():
        is_code, was_code = line.startswith((">>>", "...")), bool(lines) and lines[-1].startswith("    ")
        lines.append(f"    {line}" if is_code or (was_code and line) else line)
    begin = [f for f in functions_of(node) if f.name == "__init__"] if isinstance(node, ast.ClassDef) else []
    more = [ast.get_docstring(f) for f in begin if ast.get_docstring(f)]
    return "\n".join(lines) + "\n" + "".join(f"\n{one}\n" for one in more)


def joined(text: str) -> str:
    return inspect.cleandoc(text).replace("\n\n", " ").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page())
