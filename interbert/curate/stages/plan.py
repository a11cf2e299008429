"""What a collection is made of, and by what: written once, and held against every later start."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from interbert.curate.engine.parts import Part
from interbert.curate.reading.records import Source
from interbert.curate.reading.units import Unit, limits_of
from interbert.curate.settings import CurateSettings
from interbert.files import read_json, write_json

METHOD = 4
"""Counts up when the same inputs and settings would give something else."""
PLAN = "plan.json"
_OTHER_METHOD = "it was begun by another version of interbert"


@dataclass(frozen=True)
class Plan:
    output: Path
    units: list[Unit]
    settings: CurateSettings
    never: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)
    """Stamps of files that settings name."""

    @property
    def work(self) -> Path:
        """Hidden, so that who reads the shards does not read it too."""
        return self.output / ".work"

    def part(self, stage: str, number: int) -> Part:
        return Part(self.work, stage, number)

    @cached_property
    def page_units(self) -> list[int]:
        return [number for number, unit in enumerate(self.units) if unit.pages]

    def source(self, number: int) -> Source:
        """What a unit's records are read from."""
        unit = self.units[number]
        if unit.form == "saved" and not unit.names:
            unit = replace(unit, names=tuple(read_json(self._names_path(number))))
        return unit.source(limits_of(self.settings.reading))

    def _names_path(self, number: int) -> Path:
        return self.work / "names" / f"{number:06d}.json"

    def _as_tree(self) -> dict[str, Any]:
        return {
            "method": METHOD,
            "units": [unit.as_row() for unit in self.units],
            "settings": self.settings.model_dump(mode="json"),
            "never": list(self.never),
            "named": self.named,
        }

    def settle(self) -> None:
        """Writes the plan, or refuses to go on with what another one began."""
        path = self.output / PLAN
        if path.exists():
            _refuse_other(path, read_json(path), self._as_tree())
            return
        (self.work / "names").mkdir(parents=True, exist_ok=True)
        for number, unit in enumerate(self.units):
            if unit.names:
                write_json(self._names_path(number), unit.names)
        write_json(path, self._as_tree())


def load_plan(output: Path) -> Plan:
    path = output / PLAN
    if not path.is_file():
        raise ValueError(f"{output}: no {PLAN} there; it is no folder that `interbert curate` wrote")
    tree = read_json(path)
    if tree.get("method") != METHOD:
        raise ValueError(
            f"{output}: {_OTHER_METHOD}; what it left cannot be read by this one. `interbert curate --overwrite` "
            "begins anew"
        )
    return Plan(
        output,
        [Unit.of_row(row) for row in tree["units"]],
        CurateSettings.model_validate(tree["settings"]),
        tuple(tree["never"]),
        tree.get("named", {}),
    )


def _refuse_other(path: Path, begun: dict[str, Any], now: dict[str, Any]) -> None:
    differ = []
    if begun.get("method") != now["method"]:
        differ.append(_OTHER_METHOD)
    old, new = (_named(tree["units"]) for tree in (begun, now))
    differ += [f"{name} was there" for name in old.keys() - new.keys()]
    differ += [f"{name} is new" for name in new.keys() - old.keys()]
    differ += [f"{name} has changed" for name in old.keys() & new.keys() if old[name] != new[name]]
    if not differ and begun["units"] != now["units"]:
        differ.append("the inputs come in another order")
    differ += _settings_that_differ(begun["settings"], now["settings"], "")
    if begun.get("never") != now["never"]:
        differ.append("--never differs")
    stamps = begun.get("named", {})
    differ += [
        f"the files of {name} have changed" for name in now["named"] if stamps.get(name) != now["named"][name]
    ]
    if differ:
        told = "; ".join(sorted(differ)[:8])
        raise ValueError(
            f"{path.parent}: begun with other inputs or settings ({told}). Give another --output, or --overwrite to "
            "begin anew"
        )


def _named(units: list[dict[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for unit in units:
        found.setdefault(unit["path"], []).append([unit["bytes"], unit["digest"], unit["pages"]])
    return found


def _settings_that_differ(begun: Any, now: Any, name: str) -> list[str]:
    if isinstance(begun, dict) and isinstance(now, dict):
        return [
            told
            for key in sorted(begun.keys() | now.keys())
            for told in _settings_that_differ(begun.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if begun == now else [f"{name} was {begun}, is {now}"]
