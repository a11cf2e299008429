"""Which image of the data each name in a file of captions is: by one rule and one field for a whole file.

The strictest rule that meets images is taken. A looser one takes its place only where it meets more than twice as
many, so that a few chance meetings do not decide; leading zeros are left out as soon as that meets more. Where two of
a file's names, or two images, would share a name under the rule, none of them is matched.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from interbert.sources.captions.files import CaptionFiles
from interbert.sources.captions.layout import Field, Layout
from interbert.sources.captions.names import CHOICES, LOOSE, RULES, TOLD, is_number, same_image
from interbert.sources.record import ImportFault

_EXAMPLES = 3


@dataclass
class FileMatch:
    """What became of one file's captions."""

    path: str
    layout: str
    captions: int
    images: int
    """That the file names, with captions (of the splits)."""
    named_by: str = ""
    rule: str = ""
    matched: int = 0
    ambiguous: int = 0
    """Of its images: several share a name under the rule, or several of the data do."""
    contested: int = 0
    """Met only loosely by this file, and by another one under another name: not taken."""
    unmatched: list[str] = field(default_factory=list)
    """A few of the names that met nothing."""
    left_out: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For the user."""
        how = f", {self.named_by} {self.rule}" if self.rule else ""
        found = [
            f"{self.path} ({self.layout}): {self.captions:,} captions; {self.matched:,} of its {self.images:,} "
            f"images are in the data{how}"
        ]
        missing = self.images - self.matched - self.ambiguous - self.contested
        if missing:
            found.append(f"  {missing:,} are not in the data, such as {_listed(self.unmatched)}")
        if self.ambiguous:
            found.append(f"  {self.ambiguous:,} have a name that several share, and are left out")
        if self.contested:
            found.append(
                f"  {self.contested:,} were left out: another file has captions for the same images under other "
                "names (--match says which rule to trust)"
            )
        return found + [f"  {count:,} {what} were left out" for what, count in self.left_out.items()]


class Matcher:
    """Works on the tables of an index: fills `key.image`."""

    def __init__(self, base: sqlite3.Connection, wishes: CaptionFiles) -> None:
        self._base, self._wishes = base, wishes
        self._rules_ready: set[str] = set()
        self._images = self._one("SELECT count(*) FROM image")
        for name, rule in RULES.items():
            base.create_function(f"by_{name}", 1, _of_known(rule), deterministic=True)
        base.create_function("is_number", 1, is_number, deterministic=True)
        base.create_function("same_image", 2, same_image, deterministic=True)
        base.execute(
            "CREATE TABLE ours (rule TEXT, name TEXT, image INTEGER, sure INTEGER, PRIMARY KEY (rule, name)) "
            "WITHOUT ROWID"
        )
        base.execute(
            "CREATE TEMP TABLE theirs (name TEXT PRIMARY KEY, key INTEGER, sure INTEGER) WITHOUT ROWID"
        )

    def match(self, layouts: list[Layout], captions: list[int]) -> list[FileMatch]:
        matches = [self._file(file, layout, captions[file]) for file, layout in enumerate(layouts)]
        self._base.execute("CREATE INDEX of_image ON key (image)")
        if self._wishes.match == "auto" and len(layouts) > 1:
            self._settle_contests()
        for file, match in enumerate(matches):
            of_file = f"FROM key WHERE file = {file}"
            match.matched = self._one(f"SELECT count(*) {of_file} AND image IS NOT NULL")
            match.contested = self._one(f"SELECT count(*) {of_file} AND contested")
            if not match.matched and match.captions and not self._wishes.allow_unmatched:
                raise ImportFault(self._no_match(file, match))
        for table in ("ours", "theirs"):
            self._base.execute(f"DROP TABLE {table}")
        return matches

    def _file(self, file: int, layout: Layout, captions: int) -> FileMatch:
        images = self._one(f"SELECT count(*) FROM key WHERE file = {file}")
        match = FileMatch(
            str(self._wishes.files[file]), layout.title, captions, images, left_out=dict(layout.left_out)
        )
        found = self._best(file, layout, images)
        if found:
            rule, named = found
            match.named_by, match.rule = named.label, TOLD[rule]
            self._take(file, rule, named, _is_loose(rule, named, layout))
        else:  # to say why
            rule, named = CHOICES[self._wishes.match][0], layout.fields[0]
            rule = "stem" if self._wishes.match == "auto" else rule
            self._meet(file, rule, named)
        match.ambiguous = self._ambiguous(file, rule)
        match.unmatched = self._names(f"FROM key WHERE file = {file} AND image IS NULL ORDER BY id")
        return match

    def _best(self, file: int, layout: Layout, images: int) -> tuple[str, Field] | None:
        most, best = 0, None
        for rule, named in self._candidates(layout):
            # Leading zeros are no chance: of 000001 to 200000 half have none.
            bar = most if rule == "unpadded" and best and best[1] is named else 2 * most
            if best and bar >= min(images, self._images):
                continue
            met = self._meet(file, rule, named)
            if met > bar:
                most, best = met, (rule, named)
        return best

    def _candidates(self, layout: Layout) -> list[tuple[str, Field]]:
        """A field's names by all rules before the next field's; a number alone comes last."""
        rules = CHOICES[self._wishes.match]
        names = [(rule, named) for named in layout.fields for rule in rules if rule != "number"]
        numbers = [("number", named) for named in layout.fields if "number" in rules and named.may_be_number]
        return names + numbers

    def _meet(self, file: int, rule: str, named: Field) -> int:
        """Fills `theirs` with the file's names that ours has too; how many images that matches."""
        self._provide(rule)
        self._base.create_function("named", 2, named.of, deterministic=True)
        self._base.execute("DELETE FROM theirs")
        self._base.execute(
            f"INSERT INTO theirs SELECT short, id, {_sure(rule, 'long')} FROM "
            f"(SELECT id, long, by_{rule}(long) AS short FROM "
            "(SELECT id, named(name, other) AS long FROM key WHERE file = ?) WHERE long IS NOT NULL) "
            "WHERE short IN (SELECT name FROM ours WHERE rule = ?) ON CONFLICT DO UPDATE SET key = NULL",
            (file, rule),
        )
        return self._one(f"SELECT count(*) {_PAIRS}", rule)

    def _provide(self, rule: str) -> None:
        """The data's names under a rule."""
        if rule in self._rules_ready:
            return
        self._rules_ready.add(rule)
        self._base.execute(
            f"INSERT INTO ours SELECT ?, short, id, {_sure(rule, 'name')} FROM "
            f"(SELECT id, name, by_{rule}(name) AS short FROM image) WHERE short IS NOT NULL "
            "ON CONFLICT DO UPDATE SET image = NULL",
            (rule,),
        )

    def _take(self, file: int, rule: str, named: Field, loose: bool) -> None:
        self._meet(file, rule, named)
        self._base.execute(
            "UPDATE key SET image = found.image, loose = ? FROM "
            f"(SELECT theirs.key AS id, ours.image AS image {_PAIRS}) AS found WHERE key.id = found.id",
            (loose, rule),
        )

    def _ambiguous(self, file: int, rule: str) -> int:
        """Of the names that met last."""
        return self._one(
            f"SELECT count(*) FROM key JOIN theirs ON theirs.name = by_{rule}(named(key.name, key.other)) "
            "JOIN ours ON ours.rule = ? AND ours.name = theirs.name "
            "WHERE file = ? AND key.image IS NULL AND (theirs.key IS NULL OR ours.image IS NULL)",
            rule,
            file,
        )

    def _settle_contests(self) -> None:
        """A number or a stem alone is not believed where another file has the same image under another name."""
        self._base.execute(
            "UPDATE key SET image = NULL, contested = 1 WHERE id IN (SELECT mine.id FROM key AS mine "
            "JOIN key AS other ON mine.image = other.image AND mine.file <> other.file "
            "WHERE mine.loose AND NOT same_image(mine.name, other.name))"
        )

    def _no_match(self, file: int, match: FileMatch) -> str:
        names = _listed(self._names(f"FROM key WHERE file = {file} ORDER BY id"))
        why = ""
        if match.ambiguous:
            why = (
                f"; {match.ambiguous:,} of its names are shared by several images, and told apart by nothing"
            )
        if match.contested:
            why = (
                f"; {match.contested:,} met only by a number or a file's name, and other files have captions for "
                "those images under other names: --match number (or stem) trusts them all the same"
            )
        return (
            f"{match.path} ({match.layout}): its captions match none of the {self._images:,} images: it names "
            f"{names}; the data has {_listed(self._names('FROM image ORDER BY id'))}{why}; --allow-unmatched imports "
            "without it"
        )

    def _names(self, of: str) -> list[str]:
        return [name for (name,) in self._base.execute(f"SELECT name {of} LIMIT {_EXAMPLES}")]

    def _one(self, query: str, *values: object) -> int:
        return self._base.execute(query, values).fetchone()[0]


_PAIRS = (
    "FROM theirs JOIN ours ON ours.rule = ? AND ours.name = theirs.name "
    "WHERE theirs.key IS NOT NULL AND ours.image IS NOT NULL AND (theirs.sure OR ours.sure)"
)
"""A name of each side that no second one has."""


def _of_known(rule: Callable[[str], str | None]) -> Callable[[str | None], str | None]:
    return lambda name: None if name is None else rule(name)


def _sure(rule: str, name: str) -> str:
    """Two names that only end in the same number do not meet: one of them must be a number alone."""
    return f"is_number({name})" if rule == "number" else "1"


def _is_loose(rule: str, named: Field, layout: Layout) -> bool:
    return not named.sure and (rule in LOOSE or named is not layout.fields[0])


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names) if names else "nothing"
