"""`python -m interbert settings`: every setting with its default and meaning, as docs/recipes.md has them."""

import argparse
import textwrap
from types import UnionType
from typing import Any, Union, get_args, get_origin

HELP = "list every setting of a recipe with its default and meaning, and the recipes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", help="show this recipe's values instead of the defaults")


def run(arguments: argparse.Namespace) -> int:
    from interbert.config import Settings
    from interbert.recipe import load_recipe, recipe_names

    values = load_recipe(arguments.recipe).model_dump() if arguments.recipe else None
    print("\n".join(_lines(Settings, values, "")))
    print(f"\nrecipes: {', '.join(recipe_names())}")
    print("change one with --set section.key=value, or write a YAML file that `extends` a recipe")
    return 0


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
