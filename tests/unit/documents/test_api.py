"""docs/api.md: what the sources say, of names that can be imported, and whose types are checked."""

import ast
import importlib
import importlib.util
import tomllib
from pathlib import Path

import pytest

import interbert
import interbert.model
from tests.unit.documents.text import ROOT

spec = importlib.util.spec_from_file_location("api", ROOT / "docs" / "api.py")
api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)
ROWS = [row for rows in api.PUBLIC.values() for row in rows]


def test_the_page_is_what_the_sources_say():
    assert api.PAGE.read_text() == api.page(), "run `python docs/api.py`"


@pytest.mark.parametrize(("place", "module", "names"), ROWS, ids=[f"{row[1]}-{row[2][0]}" for row in ROWS])
def test_a_public_name_is_imported_from_where_the_page_says(place, module, names):
    for name in names:
        assert getattr(importlib.import_module(place), name).__module__ == module, name


def test_what_is_public_has_docstrings():
    bare = []
    for _, module, names in ROWS:
        nodes = ast.parse(api.source_of(module).read_text()).body
        for node in (one for one in nodes if getattr(one, "name", None) in names):
            methods = api.functions_of(node) if isinstance(node, ast.ClassDef) else []
            methods = [one for one in methods if one.name[0] != "_" and not api.is_property(one)]
            bare += [f"{module}: {one.name}" for one in (node, *methods) if not ast.get_docstring(one)]
    assert not bare, "say in a sentence what they are"


def test_what_is_public_is_checked_for_types():
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ty"]["src"]
    checked = {path for pattern in source["include"] for path in ROOT.glob(pattern)}
    left = {ROOT / pattern for pattern in source["exclude"]}
    for _, module, _ in ROWS:
        within = {api.source_of(module), *api.source_of(module).parents}
        assert within & checked and not within & left, module


@pytest.mark.parametrize(("module", "late"), [(interbert, "_CALLS"), (interbert.model, "_WHERE")])
def test_what_is_imported_late_is_seen_by_people_and_type_checkers(module, late):
    known = set(getattr(module, late))
    assert known <= set(module.__all__) <= set(dir(module))
    for_types = [
        node for node in ast.parse(Path(module.__file__).read_text()).body if isinstance(node, ast.If)
    ]
    named = {alias.name for block in for_types for node in block.body for alias in node.names}
    assert named == known
