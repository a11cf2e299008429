"""Recipes: where settings come from.

A recipe is YAML and may extend another one; `--set section.key=value` changes it, and so do the flags of a command.
"""

import copy
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from interbert.config import Settings, SettingsError

RECIPES = Path(__file__).parent / "recipes"
SIZE_OF_A_STEP = ("train.batch", "train.micro_batches", "data.token_budget")
ONE_THING = (("batch", "micro_batches"), ("schedule_steps", "epochs"))
"""Settings of `train` that say the same in two ways; the second is the stronger word."""
MAY_BE_LEFT = ("name", "extends", "scenes", "stages", "step", "task", "distill")
"""Sections that need not be a mapping."""


def load_recipe(name_or_file: str, overrides: Sequence[str] = (), **sections: dict[str, Any]) -> Settings:
    """A recipe by name or file, with its `extends` chain, `section.key=value` overrides, then `sections`.

    >>> load_recipe("scenes", ["train.log_every=5"], data={"train": ["a.h5"]}).train.log_every
    5
    """
    tree = _read_recipe(name_or_file, seen=())
    for override in overrides:
        _refuse_what_a_stage_says(tree, f"--set {override}", override.partition("=")[0].split("."))
        _apply_override(tree, override)
    if any(override.partition("=")[0] in SIZE_OF_A_STEP for override in overrides):
        tree.pop("step", None)  # of a run whose config.yaml serves as a recipe: settled anew
    for section, fields in sections.items():
        if not isinstance(tree.get(section, {}), dict):
            raise SettingsError(f"{section} is {tree[section]!r}: it is a section; set {section}.KEY instead")
        for field in fields:
            _refuse_what_a_stage_says(tree, f"{section}.{field}", [section, field])
        _merge(tree.setdefault(section, {}), fields)
    if tree.get("stages"):
        tree["stages"] = [_stage(tree, number, stage) for number, stage in enumerate(tree["stages"])]
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'recipe'}: {_explain(e)}" for e in error.errors()]
        told = f" {lines[0].strip()}" if len(lines) == 1 else "\n" + "\n".join(lines)
        raise SettingsError(f"recipe {name_or_file!r} does not hold together:{told}") from None


def _refuse_what_a_stage_says(tree: dict[str, Any], typed: str, path: list[str]) -> None:
    """A stage's own word would silently overrule what was typed."""
    same = next((pair for pair in ONE_THING if path == ["train", path[-1]] and path[-1] in pair), path[-1:])
    for stage in tree.get("stages") or []:
        for said in ([*path[:-1], name] for name in same):
            if path != ["name"] and _says(stage, said):
                raise SettingsError(
                    f"{typed}: stage {stage.get('name')!r} says its own {'.'.join(said)}; change it in the recipe"
                )


def _says(stage: Any, path: list[str]) -> bool:
    for key in path:
        if not isinstance(stage, dict) or key not in stage:
            return False
        if key == "objectives":  # which a stage names as a whole
            return True
        stage = stage[key]
    return True


def _stage(tree: dict[str, Any], number: int, differences: Any) -> dict[str, Any]:
    """The settings of one stage: the recipe's, with the differences."""
    if not isinstance(differences, dict) or "name" not in differences or differences.get("stages"):
        raise SettingsError(
            f"stages[{number}]: give a name and the settings that differ, not {differences!r}"
        )
    stage = copy.deepcopy({section: fields for section, fields in tree.items() if section != "stages"})
    if "objectives" in differences:
        stage.pop("objectives", None)
    _merge(stage, differences)
    return stage


def read_config(path: Path) -> Settings:
    """The settings in a run's config.yaml, which are all there."""
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise SettingsError(f"{path}: not a run's settings ({error}); restore it, or remove it") from None


def recipe_names() -> list[str]:
    """Of those in `interbert/recipes/`."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _read_recipe(name_or_file: str, seen: tuple[str, ...]) -> dict[str, Any]:
    path = Path(name_or_file).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        path = RECIPES / f"{name_or_file}.yaml"
    if not path.is_file():
        if path.parent != RECIPES:
            raise SettingsError(f"no recipe {name_or_file}: no such file")
        near = difflib.get_close_matches(name_or_file, recipe_names(), 1)
        known = (
            f"did you mean {near[0]}?" if near else f"give a .yaml file or one of {', '.join(recipe_names())}"
        )
        raise SettingsError(f"no recipe {name_or_file!r}: {known}")
    if str(path) in seen:
        raise SettingsError(f"recipe {path} extends itself: {' -> '.join((*seen, str(path)))}")
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"recipe {path} must be a mapping of sections, not {type(tree).__name__}")
    for name, value in tree.items():
        if name not in MAY_BE_LEFT and not isinstance(value, dict):
            raise SettingsError(
                f"recipe {path}: section {name!r} is {value!r}; write settings under it, or leave it out"
            )
    _refuse_two_lengths(path, tree)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise SettingsError(f"recipe {path}: extends is {parent!r}; give one name or file")
    if parent.endswith((".yaml", ".yml")):
        parent = str(path.parent / Path(parent).expanduser())
    base = _read_recipe(parent, (*seen, str(path)))
    # Objectives are one choice, not a set to add to: a recipe that names them means exactly those.
    if "objectives" in tree:
        base.pop("objectives", None)
    _merge(base, tree)
    return base


def _refuse_two_lengths(path: Path, tree: dict[str, Any]) -> None:
    """Epochs and steps, where a person wrote both; in a run's config.yaml the steps are what the epochs came to."""
    if "step" in tree:
        return
    for part in (tree, *(stage for stage in tree.get("stages") or [] if isinstance(stage, dict))):
        train = part.get("train") or {}
        if train.get("epochs") and train.get("schedule_steps"):
            raise SettingsError(
                f"recipe {path}: train.epochs is {train['epochs']} and train.schedule_steps "
                f"{train['schedule_steps']}, which both say how long it trains; leave one of them out"
            )


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SettingsError(
            f"--set {override!r}: write it as section.key=value, for example train.log_every=5"
        )
    *sections, field = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"--set {override!r}: {section!r} is a value, not a section")
    try:
        value = parse_scalar(text)
    except yaml.YAMLError:
        raise SettingsError(f"--set {override!r}: the value is not YAML; quote it") from None
    tree[field] = value
    _later_word_counts(tree, {field: value})


def parse_scalar(text: str) -> Any:
    """The value that is meant by what stands behind the = of an override."""
    value = yaml.safe_load(text) if text else None
    if isinstance(value, str):  # YAML 1.1 takes 1e-4 for a string
        try:
            return float(value)
        except ValueError:
            pass
    return value


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    _later_word_counts(base, over)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _later_word_counts(base: dict[str, Any], over: dict[str, Any]) -> None:
    """Who says the weaker of two words for one thing takes the stronger one back."""
    for said, stronger in ONE_THING:
        if over.get(said) and stronger not in over:
            base.pop(stronger, None)


def flatten(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Sections within sections -> {"section.key": value}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            flatten(value, f"{before}{key}.") if isinstance(value, dict) and value else {before + key: value}
        )
    return flat


def setting_names() -> list[str]:
    """As section.key."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    return [
        f"{name}.{key}" for name, section in sections.items() for key in getattr(section, "model_fields", ())
    ]


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(".".join(map(str, error["loc"])), setting_names(), 1)
        known = f"did you mean {near[0]}? " if near else ""
        return f"no such setting; {known}`python -m interbert settings` lists them all"
    return f"{error['msg']} (got {error['input']!r})" if "input" in error else error["msg"]
