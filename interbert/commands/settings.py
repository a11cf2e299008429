"""`python -m interbert settings`: every setting with its default and meaning, as docs/recipes.md has them."""

import argparse
import difflib
import textwrap
from types import UnionType
from typing import Any, Union, get_args, get_origin

HELP = "list every setting of a recipe with its default and meaning, and the recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", nargs="?", metavar="SECTION.KEY", help="explain this one alone")
    parser.add_argument("--recipe", help="show this recipe's values instead of the defaults")


def run(arguments: argparse.Namespace) -> int:
    from interbert.config import Settings
    from interbert.recipe import load_recipe, recipe_names

    values = load_recipe(arguments.recipe).model_dump() if arguments.recipe else None
    if arguments.key:
        print("\n".join(_explained(Settings, arguments.key, values)))
        return 0
    print("\n".join(_lines(Settings, values, "")))
    print(f"\nrecipes: {', '.join(recipe_names())}")
    print("change one with --set section.key=value, or write a YAML file that `extends` a recipe")
    return 0


def _explained(settings: type, key: str, values: dict | None) -> list[str]:
    """A setting, or the section that has this name; and which recipes say it otherwise."""
    from interbert.recipe import load_recipe, recipe_names

    lines = _lines(settings, values, "")
    names = [line.partition(" = ")[0] for line in lines if line and not line.startswith(" ")]
    if key not in names:
        near = difflib.get_close_matches(key, names, 3) or [name for name in names if key in name][:3]
        raise ValueError(f"no setting {key}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    start = next(place for place, line in enumerate(lines) if line.startswith(f"{key} = "))
    stop = next(
        (place for place in range(start + 1, len(lines)) if not lines[place].startswith(" ")), len(lines)
    )
    others: dict[str, list[str]] = {}
    for name in recipe_names():
        said = _value_at(load_recipe(name).model_dump(), key)
        if said is not None and f"{key} = {said}" != lines[start]:
            others.setdefault(str(said), []).append(name)
    told = [f"{said}: {', '.join(names)}" for said, names in others.items()]
    return [
        *lines[start:stop],
        *(["in recipes:"] if told else []),
        *told,
        f"change it with --set {key}=VALUE",
    ]


def _value_at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _lines(settings: type, values: dict | None, prefix: str) -> list[str]:
    lines = []
    settings.model_rebuild()  # sections that are described below the one that they are part of
    for name, field in settings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            lines += ["", *_lines(field.annotation, values and values[name], f"{prefix}{name}.")]
            continue
        value = values[name] if values else "(required)" if field.is_required() else field.get_default()
        lines.append(f"{prefix}{name} = {'' if value is None else value}")
        lines += textwrap.wrap(field.description or "", 100, initial_indent="    ", subsequent_indent="    ")
        if section := _optional_section(field.annotation):
            lines += ["", *_lines(section, value if values else None, f"{prefix}{name}."), ""]
    return lines


def _optional_section(annotation: Any) -> type | None:
    """The settings of a section that may be left out."""
    either = (
        get_args(annotation) if isinstance(annotation, UnionType) or get_origin(annotation) is Union else ()
    )
    return next((one for one in either if hasattr(one, "model_fields")), None)
