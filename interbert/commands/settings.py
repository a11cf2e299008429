"""`python -m interbert settings`: every setting with its default and meaning, as docs/recipes.md has them."""

import argparse
import difflib
import textwrap
from collections.abc import Iterator
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

HELP = "list every setting of a recipe with its default and meaning, and the recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key", nargs="?", metavar="SECTION.KEY", help="explain this one alone, or this section"
    )
    parser.add_argument("--recipe", help="show this recipe's values instead of the defaults")


def run(arguments: argparse.Namespace) -> int:
    from interbert.config import Settings
    from interbert.recipe import load_recipe, recipe_names

    values = load_recipe(arguments.recipe).model_dump() if arguments.recipe else None
    entries = list(_entries(Settings, values, ""))
    if arguments.key:
        print("\n".join(_explained(entries, arguments.key)))
        return 0
    print("\n".join(_lines(entries)))
    print(f"\nrecipes: {', '.join(recipe_names())}")
    print("change one with --set section.key=value, or write a YAML file that `extends` a recipe")
    return 0


class Entry(NamedTuple):
    key: str
    value: Any
    field: Any
    """pydantic's."""

    @property
    def head(self) -> str:
        return f"{self.key} = {'' if self.value is None else self.value}"


def _entries(settings: type, values: dict | None, prefix: str) -> Iterator[Entry | None]:
    """None stands where a section begins or ends."""
    settings.model_rebuild()  # sections that are described below the one that they are part of
    for name, field in settings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield None
            yield from _entries(field.annotation, values and values[name], f"{prefix}{name}.")
            continue
        value = values[name] if values else "(required)" if field.is_required() else field.get_default()
        yield Entry(f"{prefix}{name}", value, field)
        if section := _optional_section(field.annotation):
            yield None
            yield from _entries(section, value if values else None, f"{prefix}{name}.")
            yield None


def _lines(entries: list[Entry | None]) -> list[str]:
    lines = []
    for entry in entries:
        lines += [""] if entry is None else [entry.head, *_meaning(entry)]
    return lines


def _meaning(entry: Entry) -> list[str]:
    return textwrap.wrap(entry.field.description or "", 100, initial_indent="    ", subsequent_indent="    ")


def _explained(entries: list[Entry | None], asked: str) -> list[str]:
    """A setting, or all of a section."""
    own = asked.casefold().rstrip(".")
    found = [one for one in entries if one and f"{one.key}.".casefold().startswith(f"{own}.")]
    if not found:
        keys = [one.key for one in entries if one]
        near = difflib.get_close_matches(own, keys, 3) or [key for key in keys if own in key][:3]
        remedy = f"did you mean {', '.join(near)}?" if near else "`interbert settings` lists them all"
        raise ValueError(f"no setting {asked}; {remedy}")
    if len(found) > 1:
        return _lines(list(found))
    return _in_full(found[0])


def _in_full(entry: Entry) -> list[str]:
    """With what it takes, and which recipes say it otherwise."""
    from interbert.recipe import load_recipe, recipe_names

    others: dict[str, list[str]] = {}
    for name in recipe_names() if entry.key != "name" else ():
        said = _value_at(load_recipe(name).model_dump(), entry.key)
        if said is not None and said != entry.value:
            others.setdefault(str(said), []).append(name)
    return [
        *(entry.head, *_meaning(entry), f"takes {_taken(entry.field)}"),
        *(["in recipes:"] if others else []),
        *(f"{said}: {', '.join(names)}" for said, names in others.items()),
        f"change it with --set {entry.key}=VALUE",
    ]


def _taken(field: Any) -> str:
    """What values there are."""
    from typing import Annotated

    from pydantic import TypeAdapter

    kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return _told(TypeAdapter(kind).json_schema())


_KINDS = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def _told(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if "anyOf" in schema:
        return ", or ".join(_told(one) for one in schema["anyOf"])
    if schema.get("type") == "null":
        return "nothing (null)"
    if schema.get("type") == "array":
        inner = schema.get("items")
        return "a list [A, B, …]" + (f", each {_told(inner)}" if inner and "$ref" not in inner else "")
    if schema.get("type") not in _KINDS:
        return "a section {NAME: VALUE, …}"
    bounds = [f"{words} {schema[name]:g}" for name, words in _BOUNDS.items() if name in schema]
    return " ".join([_KINDS[schema["type"]], " and ".join(bounds)]).strip()


def _value_at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _optional_section(annotation: Any) -> type | None:
    """The settings of a section that may be left out."""
    either = (
        get_args(annotation) if isinstance(annotation, UnionType) or get_origin(annotation) is Union else ()
    )
    return next((one for one in either if hasattr(one, "model_fields")), None)
