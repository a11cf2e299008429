"""What is known so far, always in its files: who is stopped has what there was."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu_parts.bounded import Ended
from benchmarks.gpu_parts.rows import Row, table

REHEARSAL = "REHEARSAL on a CPU, at tiny sizes: none of these figures is a measurement."
LAST_LINES = 15
"""Of a part that did not pass, on the terminal."""


@dataclass(frozen=True)
class Result:
    part: str
    ended: Ended
    rows: list[Row]
    said: str


class Record:
    def __init__(self, output: Path, device: str) -> None:
        self.output, self.rehearsal = output, device == "cpu"
        self.results: dict[tuple[int, int], Result] = {}
        """By their place in the table."""
        self.began = datetime.now(UTC).isoformat(timespec="seconds")
        output.mkdir(parents=True, exist_ok=True)
        for name in ("gpu.json", "table.txt", "log.txt"):
            (output / name).unlink(missing_ok=True)
        if self.rehearsal:
            print(REHEARSAL, flush=True)

    @property
    def in_order(self) -> list[Result]:
        return [self.results[place] for place in sorted(self.results)]

    @property
    def not_passed(self) -> list[Result]:
        return [result for result in self.in_order if result.ended.how != "passed"]

    def add(self, place: tuple[int, int], result: Result) -> None:
        self.results[place] = result
        ended = result.ended
        print(f"{ended.seconds:5.0f} s  {result.part}: {ended.how} {ended.why}".rstrip(), flush=True)
        if ended.how != "passed":
            print(
                "\n".join(f"         {line}" for line in result.said.splitlines()[-LAST_LINES:]), flush=True
            )
        self.write()

    def write(self) -> None:
        rows = [row for result in self.in_order for row in result.rows]
        figures = {
            "rehearsal": self.rehearsal,
            "began": self.began,
            "parts": [{"part": result.part, **asdict(result.ended)} for result in self.in_order],
            "rows": [row.as_json(self.rehearsal) for row in rows],
        }
        heads = [REHEARSAL, ""] if self.rehearsal else []
        said = [f"===== {result.part}: {result.ended.how}\n{result.said}" for result in self.in_order]
        (self.output / "gpu.json").write_text(json.dumps(figures, indent=2) + "\n")
        (self.output / "table.txt").write_text("\n".join([*heads, table(rows, self.rehearsal)]) + "\n")
        (self.output / "log.txt").write_text("\n".join(said))

    def summary(self, seconds: float) -> str:
        wrong = [f"{result.part} ({result.ended.how})" for result in self.not_passed]
        told = f"not passed: {', '.join(wrong)}" if wrong else f"all {len(self.results)} parts passed"
        return f"\n{(self.output / 'table.txt').read_text()}\n{told}, in {seconds:.0f} s; see {self.output}"
